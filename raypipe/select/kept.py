"""Which rows a selection may see by an SQL condition on other stages: `not exact_duplicates.is_duplicate`.

Rows are joined by position: the n-th row of a path in the scores is the n-th of that path in the other stage, however
the two were cut. Text hashes are compared, and the first difference ends it. A row of which the condition is null isn't
kept; NaN counts as null, as in --where.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.columns import TEXT_HASH
from raypipe.corpus.shards import output_name
from raypipe.corpus.sql import WHOLE, connection, failures, first_line, parsed
from raypipe.corpus.stages import Mismatch
from raypipe.corpus.values import comparable
from raypipe.runs.card import finished_card, identity_hash, tables
from raypipe.runs.files import listing_digest
from raypipe.runs.names import nearest
from raypipe.select.rows import ahead
from raypipe.storage.folder import Entry, Folder

_ROW, _ROWS = "__row__", "kept_rows"
Span = tuple[str, int, int]
"""A file, the first of its rows among those of its path, and the row after its last."""


@dataclass(frozen=True)
class KeptRows:
    """The condition over the files of a scores folder."""

    run: Folder
    condition: str
    columns: Mapping[str, tuple[str, ...]]
    """By stage, those that the condition names."""
    scores: Mapping[str, tuple[str, int, int]] = field(repr=False)
    """Of each file of the scores its path, and its first row and the row after its last among those of the path."""
    spans: Mapping[str, Mapping[str, Sequence[Span]]] = field(repr=False)
    """By stage and path, its files."""

    @classmethod
    def of(cls, run: Folder, condition: str, scores: Folder, files: Sequence[Entry]) -> "KeptRows":
        """The condition, once all that it names is found.

        Raises
        ------
        ValueError
            If it isn't one expression on STAGE.COLUMN, or DuckDB can't evaluate it on these columns; with both.
        FileNotFoundError, KeyError
            If there is no such stage or column, with the nearest.
        """
        columns = _columns(condition)
        for stage, names in columns.items():
            finished_card(run, stage)
            _require(run / stage, stage, names)
        own = {name: (path, start, stop) for path, of in _spans(scores, files).items() for name, start, stop in of}
        made = cls(run, condition, columns, own, {stage: _spans(run / stage, tables(run / stage)) for stage in columns})
        made._holds({stage: made._empty(stage) for stage in columns}, 0)
        return made

    def digest(self) -> str:
        """Changes when what the condition reads may have."""
        found = [
            [stage, identity_hash(finished_card(self.run, stage)["identity"]), listing_digest(tables(self.run / stage))]
            for stage in sorted(self.columns)
        ]
        return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]

    def __call__(self, file: str, text_hash: pa.ChunkedArray) -> np.ndarray:
        """[n] whether the rows of a file of the scores, which have these hashes, are kept.

        Raises
        ------
        Mismatch
            If a stage holds other rows.
        """
        path, start, stop = self.scores[file]
        found = {stage: self._rows(stage, path, start, stop, text_hash) for stage in self.columns}
        return self._holds(found, stop - start)

    def _rows(self, stage: str, path: str, start: int, stop: int, text_hash: pa.ChunkedArray) -> pa.Table:
        """The columns of a stage beside some rows of a path."""
        wanted, parts = [TEXT_HASH, *self.columns[stage]], [self._empty(stage)]
        for name, first, last in self.spans[stage].get(path, ()):
            if first < stop and last > start:
                with (self.run / stage).open(name) as file:
                    table = pq.ParquetFile(file).read(wanted)
                parts.append(table.slice(max(start - first, 0), min(stop, last) - max(start, first)))
        found = pa.concat_tables(parts)
        if len(found) != stop - start or not found[TEXT_HASH].combine_chunks().equals(_as_one(text_hash)):
            raise Mismatch(
                f"stage {stage!r} was made of other rows of {path} than the scores, at row {start} or after; give its "
                "command again first."
            )
        return found

    def _empty(self, stage: str) -> pa.Table:
        first = tables(self.run / stage)[0].path
        with (self.run / stage).open(first) as file:
            schema = pq.read_schema(file)
        wanted = [TEXT_HASH, *self.columns[stage]]
        return pa.schema([schema.field(name).remove_metadata() for name in wanted]).empty_table()

    def _holds(self, found: Mapping[str, pa.Table], n_rows: int) -> np.ndarray:
        rows: dict[str, pa.Array] = {_ROW: pa.array(range(n_rows), pa.int64())}
        for stage, table in found.items():
            names = list(self.columns[stage])
            values = [_as_one(comparable(_as_one(table[name]))) for name in names]
            rows[stage] = pa.StructArray.from_arrays(values, names)
        connection().register(_ROWS, pa.table(rows))
        try:
            sql = f"SELECT coalesce(CAST(({self.condition}\n) AS BOOLEAN), false) AS kept FROM {_ROWS} ORDER BY {_ROW}"
            kept = connection().execute(sql).fetchnumpy()["kept"]
        except failures() as error:
            raise ValueError(f"keep {self.condition!r} can't be used: {first_line(error)}.") from error
        finally:
            connection().unregister(_ROWS)
        return np.asarray(kept, bool)


def _as_one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _columns(condition: str) -> dict[str, tuple[str, ...]]:
    """By stage, the columns that a condition names."""
    try:
        tree = parsed(condition).tree
    except failures() as error:
        raise ValueError(f"keep {str(error).removeprefix('where ')}") from error
    found = {stage: tuple(name for name in below if name != WHOLE) for stage, below in tree.items()}
    bare = [stage for stage, names in found.items() if not names]
    if bare or not found:
        raise ValueError(
            f"keep must be a condition on STAGE.COLUMN, got {condition!r}"
            + (f", where {bare[0]!r} has no stage" if bare else "")
            + '; a name with a - is written "STAGE-NAME".COLUMN.'
        )
    return found


def _require(folder: Folder, stage: str, names: Sequence[str]) -> None:
    files = tables(folder)
    if not files:
        raise ValueError(f"stage {stage!r} has no file, so nothing can be kept by it.")
    with folder.open(files[0].path) as file:
        known = pq.read_schema(file).names
    if missing := [name for name in names if name not in known]:
        raise KeyError(f"stage {stage!r} has no column {missing[0]!r}; {nearest(missing[0], known)}.")


def _spans(folder: Folder, files: Sequence[Entry]) -> dict[str, list[Span]]:
    """By path the files of a stage, each with its rows among those of the path; footers alone are read."""

    def count(file: Entry) -> int:
        """Rows of a file."""
        with folder.open(file.path) as source:
            return int(pq.read_metadata(source).num_rows)

    found: dict[str, list[Span]] = {}
    of = sorted((_path_and_start(file.path), file.path, n) for file, n in zip(files, ahead(count, files), strict=True))
    for (path, _), name, n_rows in of:
        before = found.setdefault(path, [])
        first = before[-1][2] if before else 0
        before.append((name, first, first + n_rows))
    return found


def _path_and_start(name: str) -> tuple[str, int]:
    found = output_name(name)
    return (name, 0) if found is None else (found.path, found.start)
