"""Columns of stages of a rewritten corpus, back beside the rows that it was made of: a list for each of these.

A document's chunks have vectors and scores of their own, in stages of the corpus that the chunks are. Here each
document gets them as lists in the order of its chunks, so that it can be learned from as a set or a bag. Files are
joined by their names and rows by position: no key is looked up, and `text_hash` is compared. Cost: one read of each
file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.columns import ID, PART, PART_ROW, REASON, TEXT_HASH
from raypipe.contracts.row_op import ReaderOp
from raypipe.corpus.kinds import kind_of
from raypipe.corpus.shards import output_name, quoted_path
from raypipe.corpus.stages import Mismatch
from raypipe.runs.card import finished_card, identity_hash
from raypipe.storage.folder import Folder

NO_CHUNK = "no chunk"
N_CHUNKS = "n_chunks"
_ORIGIN = [ID, "source_row", "source_text_hash"]


@dataclass
class Back(ReaderOp):
    """Takes columns of the stages of chunks to the rows that were cut."""

    chunks: Folder
    """The rewrite stage."""
    run: Folder
    """Of the stages that were made of the chunks."""
    columns: tuple[str, ...]
    """`stage.column` each."""
    kinds: tuple[pa.DataType, ...]
    """Of an item of each column."""
    digest: str
    """Of the cards of the stages: changes when what is read does."""

    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = (PART, PART_ROW)

    @classmethod
    def of(cls, run: Folder, stage: str, of: Folder, columns: tuple[str, ...]) -> "Back":
        """That of a finished stage of chunks, and of finished stages that were made of them.

        Raises
        ------
        FileNotFoundError, ValueError
            If a stage isn't there or isn't finished, the first rewrites nothing, or two columns have one name.
        KeyError
            If a column is in none of them.
        """
        card = finished_card(run, stage)
        if card.get("kind") != "rewrite":
            raise ValueError(f"chunks must be a stage of chunk_corpus, {stage!r} is of kind {card.get('kind')!r}.")
        names = [name.partition(".")[2] for name in columns]
        if not names or len({*names, N_CHUNKS}) <= len(names):
            raise ValueError(f"columns must be STAGE.COLUMN with different names, not {N_CHUNKS}, got {columns}.")
        cards = [card, *(finished_card(of, name) for name in _stages(columns))]
        return cls(
            run / stage, of, columns, tuple(kind_of(of, name) for name in columns),
            identity_hash({str(at): one["identity"] for at, one in enumerate(cards)}),
        )  # fmt: skip

    @property
    def adds(self) -> pa.Schema:
        """How many chunks a row has, and a list of each column, null where a chunk was skipped."""
        names = [name.partition(".")[2] for name in self.columns]
        lists = [(name, pa.large_list(kind)) for name, kind in zip(names, self.kinds, strict=True)]
        return pa.schema([(N_CHUNKS, pa.int32()), *lists])

    def identity(self) -> Mapping[str, Any]:
        """What the results follow from beside the rows."""
        return {"op": "back", "version": self.version, "columns": list(self.columns), "of_stages": self.digest}

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: a list of each column + reason, same rows and order.

        Raises
        ------
        Mismatch
            If the chunks are of other rows, or a stage isn't of these chunks.
        """
        names = pc.unique(table[PART].combine_chunks().dictionary_decode()).drop_null().to_pylist()
        if not names:
            return self.adds.empty_table().append_column(REASON, pa.array([], pa.string()))
        name = _files(self.chunks, self.digest).get(names[0])
        if name is None:
            raise Mismatch(
                f"stage {self.chunks.uri} has no file of {names[0]}; give the command of chunk_corpus again."
            )
        origin = _read(self.chunks, name, _ORIGIN)
        rows, own = table[PART_ROW].to_numpy(), origin["source_row"].to_numpy()
        _require_same_rows(table, rows, origin, own, name)
        first = np.searchsorted(own, rows)
        counts = np.searchsorted(own, rows, side="right") - first
        ends = np.cumsum(counts)
        place = pa.array(np.arange(counts.sum()) + np.repeat(first - (ends - counts), counts), pa.int64())
        offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
        columns, own = [pa.array(counts, pa.int32())], pa.array(np.arange(len(rows)), mask=counts == 0)
        for one in self.columns:
            items = self._of_chunks(one, name, origin[ID]).take(place)
            columns.append(pa.LargeListArray.from_arrays(offsets, items).take(own))  # null where there is no chunk
        none = pa.array([None if n else NO_CHUNK for n in counts], pa.string())
        return pa.table(columns, schema=self.adds).append_column(REASON, pc.coalesce(table[REASON], none))

    def _of_chunks(self, column: str, name: str, ids: pa.ChunkedArray) -> pa.Array:
        """A column of a stage for the rows of one file of chunks."""
        stage, _, column = column.partition(".")
        files = _files_by_path(self.run / stage, self.digest).get(quoted_path(name), [])
        parts = [_read(self.run / stage, file, [ID, column]) for file in files]
        if not parts or not (found := pa.concat_tables(parts))[ID].combine_chunks().equals(ids.combine_chunks()):
            raise Mismatch(
                f"stage {stage!r} of {self.run.uri} must be of the rows of {self.chunks.uri}/{name}; make it of "
                f"--corpus '{self.chunks.uri}/*.parquet' --id-column id, without a limit or a NAME."
            )
        return found[column].combine_chunks()


def _stages(columns: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in columns))


def _read(folder: Folder, name: str, columns: list[str]) -> pa.Table:
    with folder.open(name) as file:
        return pq.ParquetFile(file).read(columns).select(columns)


@lru_cache(maxsize=4)
def _files(folder: Folder, digest: str) -> dict[str, str]:
    """The file of each part of the corpus; one listing a process."""
    found = {}
    for entry in folder.files():
        if one := output_name(entry.path):
            found[f"{one.path}-{one.start:015d}"] = entry.path
    return found


@lru_cache(maxsize=8)
def _files_by_path(folder: Folder, digest: str) -> dict[str, list[str]]:
    """The files of a stage for each quoted path of its corpus, in order; one listing a process."""
    found: dict[str, list[tuple[int, str]]] = {}
    for entry in folder.files():
        if one := output_name(entry.path):
            found.setdefault(one.path, []).append((one.start, entry.path))
    return {path: [name for _, name in sorted(of)] for path, of in found.items()}


def _require_same_rows(table: pa.Table, rows: np.ndarray, origin: pa.Table, own: np.ndarray, name: str) -> None:
    """See that each chunk is of the text that stands where it says."""
    order, at = np.argsort(rows), np.flatnonzero(np.isin(own, rows))
    now = pc.fill_null(table[TEXT_HASH], 0).to_numpy()[order][np.searchsorted(rows[order], own[at])]
    was = origin["source_text_hash"].to_numpy()[at]
    if (apart := now != was).any():
        row = int(own[at][apart][0])
        raise Mismatch(f"row {row} was another text when {name} was cut; give the command of chunk_corpus again.")
