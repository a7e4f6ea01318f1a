"""Marks of duplicates: beside each row whether an other one stays in its place, which, and how alike the two are.

What was found of a whole run stands in one file, sorted by row; a reader takes of it what its shard has. A row that no
other is like has no entry there. Nothing is dropped here: a selection does that, by a condition on these columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.columns import ID, PART, PART_ROW, REASON
from raypipe.contracts.op import ROWS
from raypipe.contracts.row_op import ReaderOp
from raypipe.select.dedup.clusters import Clusters
from raypipe.select.dedup.text_keys import KEYS
from raypipe.storage.folder import Folder

MARKS, PARTS = "marks.parquet", "parts.arrow"
GROUP_ROWS = 65_536
MARKED = pa.schema(
    [
        ("is_duplicate", pa.bool_()),
        ("duplicate_of", pa.string()),
        ("cluster", pa.int64()),
        ("cluster_size", pa.int64()),
        ("similarity", pa.float32()),
    ]
)
"""Whether an other row stays in its place; the id of that; the number in the corpus of the first row of its cluster,
null where it is alone; rows of the cluster; how alike it is to the row that stays, null where it isn't a duplicate."""


def marks_table(clusters: Clusters, kept: np.ndarray, chosen: pa.Table, reference: str | None) -> Iterator[pa.Table]:
    """The entries of the rows of clusters, GROUP_ROWS at a time.

    `kept` [m] are the rows that stay in their place, `chosen` has `row`, `id` and the column `reference` of those.
    """
    sizes, known = clusters.sizes, chosen["row"].to_numpy()
    for start in range(0, len(clusters.rows), GROUP_ROWS):
        some = slice(start, start + GROUP_ROWS)
        of = chosen.take(pa.array(np.searchsorted(known, kept[some])))
        columns = {
            "row": pa.array(clusters.rows[some]),
            "kept": pa.array(kept[some]),
            "cluster": pa.array(clusters.cluster[some]),
            "cluster_size": pa.array(sizes[some]),
            "duplicate_of": of[ID],
        }
        yield pa.table(columns | ({"reference": of[reference]} if reference else {}))


def write_marks(folder: Folder, tables: Iterator[pa.Table], empty: pa.Schema) -> str:
    """Put the entries into one file, a row group each table; returns a digest of it."""
    sink = pa.BufferOutputStream()
    first = next(tables, None)
    with pq.ParquetWriter(sink, first.schema if first is not None else empty, compression="zstd") as writer:
        for table in [] if first is None else [first]:
            writer.write_table(table)
        for table in tables:
            writer.write_table(table)
    content = sink.getvalue()
    folder.write(MARKS, content)
    return blake2b(content, digest_size=16).hexdigest()


EMPTY = pa.schema(
    [
        ("row", pa.int64()),
        ("kept", pa.int64()),
        ("cluster", pa.int64()),
        ("cluster_size", pa.int64()),
        ("duplicate_of", pa.string()),
    ]
)
"""Of the file where no row has a duplicate."""


@lru_cache(maxsize=4)
def first_rows(folder: Folder, digest: str) -> dict[str, int]:
    """At which row of the run each part of the corpus begins."""
    with folder.open(PARTS) as file:
        table = pa.ipc.open_file(file).read_all()
    return dict(zip(table["part"].to_pylist(), table["first_row"].to_pylist(), strict=True))


@lru_cache(maxsize=4)
def _row_groups(folder: Folder, digest: str) -> list[tuple[int, int]]:
    """First and last row of each row group of the marks."""
    with folder.open(MARKS) as file:
        metadata = pq.read_metadata(file)
    of = [metadata.row_group(group).column(0).statistics for group in range(metadata.num_row_groups)]
    return [(one.min, one.max) for one in of if one is not None and one.has_min_max]


def read_marks(folder: Folder, digest: str, start: int, stop: int) -> pa.Table:
    """The entries of the rows from `start` to before `stop`, and some beside them."""
    groups = _row_groups(folder, digest)
    wanted = [at for at, (low, high) in enumerate(groups) if low < stop and high >= start]
    with folder.open(MARKS) as file:
        return pq.ParquetFile(file).read_row_groups(wanted).combine_chunks()


def own_rows(table: pa.Table, folder: Folder, digest: str) -> np.ndarray:
    """The number in the run of each row of a shard's table [n].

    Raises
    ------
    KeyError
        If the corpus had no such part when its duplicates were sought.
    """
    names = pc.unique(table[PART].combine_chunks().dictionary_decode()).drop_null().to_pylist()
    if not names:
        return np.zeros(len(table), np.int64)
    return np.asarray(first_rows(folder, digest)[names[0]] + table[PART_ROW].to_numpy())


@dataclass
class ExactMarks(ReaderOp):
    """The Op that writes marks where all rows of a cluster are the same: their similarity is 1."""

    stage: str
    """Of keys, whose rows are marked."""
    folder: Folder
    """Where the marks and the parts are."""
    digest: str
    """Of the marks."""

    column: ClassVar[str] = KEYS
    """Of the stage, by which a row is held against the one that stays."""
    adds: ClassVar[pa.Schema] = MARKED
    version: ClassVar[int] = 1
    unit: ClassVar[str] = ROWS

    @property
    def reads(self) -> tuple[str, ...]:
        """The column of the stage, and where a row stands."""
        return (f"{self.stage}.{self.column}", PART, PART_ROW)

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: rows -> MARKED + reason, same rows and order."""
        rows = own_rows(table, self.folder, self.digest)
        marks = read_marks(self.folder, self.digest, int(rows.min(initial=0)), int(rows.max(initial=-1)) + 1)
        known = marks["row"].to_numpy()
        at = np.searchsorted(known, rows)
        is_usable = pc.is_null(table[REASON]).to_numpy()
        is_there = is_usable & np.isin(rows, known)
        entries = marks.take(pa.array(at, mask=~is_there))
        is_duplicate = is_there & (pc.fill_null(entries["kept"], -1).to_numpy() != rows)
        similarity = np.zeros(len(rows), np.float32)
        if is_duplicate.any():
            own = table[self.reads[0]].filter(pa.array(is_duplicate))
            similarity[is_duplicate] = self.similarity(own, entries.filter(pa.array(is_duplicate)))
        found = [
            pa.array(is_duplicate, mask=~is_usable),
            pc.if_else(pa.array(is_duplicate), entries["duplicate_of"], pa.scalar(None, pa.string())),
            entries["cluster"],
            pc.if_else(pa.array(is_usable), pc.fill_null(entries["cluster_size"], 1), pa.scalar(None, pa.int64())),
            pa.array(similarity, mask=~is_duplicate),
        ]
        return pa.table([*found, table[REASON]], schema=MARKED.append(pa.field(REASON, pa.string())))

    def similarity(self, own: pa.ChunkedArray, entries: pa.Table) -> np.ndarray:
        """How alike rows [m] are to those that stay: [m], at most 1."""
        return np.ones(len(own), np.float32)

    def cost(self, prepared: pa.Table) -> int:
        """Rows."""
        return len(prepared)
