"""Columns of stages for the rows of a scores file, however the two were cut.

The n-th row of a path in the one is the n-th of that path in the other: footers tell which rows a file holds, and text
hashes are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.columns import KEYS, OUTCOME, TEXT_HASH
from raypipe.corpus.shards import output_name
from raypipe.corpus.stages import Mismatch
from raypipe.runs.card import CARD, finished_card, identity_hash, tables
from raypipe.runs.files import listing_digest
from raypipe.select.rows import ahead
from raypipe.storage.folder import Entry, Folder

_NO_VALUES = {*KEYS.names, *OUTCOME.names}


@dataclass(frozen=True)
class RowSpan:
    """A file and the rows of its path that it holds: the first, and the one after the last."""

    file: str
    start: int
    stop: int


def columns_of(run: Folder) -> dict[str, list[str]]:
    """By stage that has a row for each row of the corpus, the columns that it adds; not those of a selection."""
    found = {}
    cards = [entry.path.split("/")[0] for entry in run.files(recursive=True) if entry.path.count("/") == 1
             and entry.path.endswith(f"/{CARD}")]  # fmt: skip
    for stage in sorted(cards):
        files = tables(run / stage)
        names = _schema(run / stage, files[0]).names if files else []
        if TEXT_HASH in names and not {"selected", "dropped_by"} & set(names):
            found[stage] = [name for name in names if name not in _NO_VALUES]
    return found


def _schema(folder: Folder, file: Entry) -> pa.Schema:
    with folder.open(file.path) as source:
        return pq.read_schema(source)


@dataclass(frozen=True)
class Beside:
    """A stage's columns, read for rows of a path."""

    folder: Folder
    stage: str
    schema: pa.Schema
    """Of the columns."""
    digest: str
    """Changes when what is read may have."""
    spans: Mapping[str, Sequence[RowSpan]]
    """By path, its files."""

    @classmethod
    def of(cls, run: Folder, stage: str, columns: Sequence[str]) -> "Beside":
        """A reader of these columns.

        Raises
        ------
        FileNotFoundError, ValueError
            If the stage isn't there or not finished.
        """
        folder, card = run / stage, finished_card(run, stage)
        files = tables(folder)
        schema = _schema(folder, files[0])
        wanted = pa.schema([schema.field(name).remove_metadata() for name in columns])
        digest = f"{identity_hash(card['identity'])}-{listing_digest(files)}"
        return cls(folder, stage, wanted, digest, spans_of(folder, files))

    def rows(self, path: str, span: RowSpan, hashes: np.ndarray) -> pa.Table:
        """The rows of a path that a scores file holds, which have `hashes` [n] int64; columns named `stage.column`.

        Raises
        ------
        Mismatch
            If they aren't of these texts.
        """
        wanted = [TEXT_HASH, *self.schema.names]
        parts = [pa.schema([(TEXT_HASH, pa.int64()), *self.schema]).empty_table()]
        for own in self.spans.get(path, ()):
            if own.start < span.stop and own.stop > span.start:
                with self.folder.open(own.file) as source:
                    table = pq.ParquetFile(source).read(wanted).replace_schema_metadata()
                first = max(span.start - own.start, 0)
                parts.append(table.slice(first, min(own.stop, span.stop) - own.start - first))
        found = pa.concat_tables(parts, promote_options="permissive")
        if not np.array_equal(found[TEXT_HASH].fill_null(0).to_numpy(), hashes):
            raise Mismatch(
                f"stage {self.stage!r} must hold the rows of the scores, but has others of {path}, at row {span.start} "
                "or after; give its command again first, with the same corpus and settings of what is read."
            )
        return self.named(found.select(self.schema.names))

    def named(self, table: pa.Table) -> pa.Table:
        """The columns under the names that rules call them by."""
        return table.rename_columns([f"{self.stage}.{name}" for name in table.column_names])


def beside(run: Folder, columns: Sequence[tuple[str, str]]) -> list[Beside]:
    """A reader for each stage of some (stage, column)s."""
    of_stage: dict[str, list[str]] = {}
    for stage, name in columns:
        of_stage.setdefault(stage, []).append(name)
    return [Beside.of(run, stage, names) for stage, names in of_stage.items()]


def spans_of(folder: Folder, files: Sequence[Entry]) -> dict[str, list[RowSpan]]:
    """By path the files of a stage, each with its rows among those of the path; footers alone are read."""

    def count(file: Entry) -> int:
        """Rows of a file."""
        with folder.open(file.path) as source:
            return int(pq.read_metadata(source).num_rows)

    found: dict[str, list[RowSpan]] = {}
    counted = zip(files, ahead(count, files), strict=True)
    for (path, _), name, n_rows in sorted((_path_and_start(file.path), file.path, n) for file, n in counted):
        before = found.setdefault(path, [])
        first = before[-1].stop if before else 0
        before.append(RowSpan(name, first, first + n_rows))
    return found


def _path_and_start(name: str) -> tuple[str, int]:
    found = output_name(name)
    return (name, 0) if found is None else (found.path, found.start)
