"""A run's stages as one table that isn't there until it is asked for: its columns are chosen first, then rows flow.

Of each stage only the columns that were chosen are read, a few thousand rows at a time, in corpus order, and joined by
position, each join checked by text; so memory doesn't grow with the run, however its stages are cut into files.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from raypipe.columns import KEYS, TEXT_HASH
from raypipe.corpus.kinds import kind_of
from raypipe.corpus.open_run import OpenRun, open_run
from raypipe.corpus.stages import Listed, Mismatch

BATCH_ROWS = 8192
"""Rows that are read of each stage at a time."""
_COUNT = re.compile(r"count\s*\(\s*\*\s*\)", re.IGNORECASE)


def read(run: str | OpenRun, *columns: str) -> "LazyTable":
    """The stages of a run as one lazy table: columns as `scores.influence`, stages as `scores`; none: everything.

    Raises
    ------
    ValueError
        If there is no run.
    KeyError
        If a column or a stage isn't there.
    """
    opened = open_run(run) if isinstance(run, str) else run
    return LazyTable(opened, tuple(dict.fromkeys(_chosen(opened, columns))))


def _chosen(run: OpenRun, asked: Sequence[str]) -> list[str]:
    every = {stage: run.columns(stage) for stage in run.stages}
    known = [name for names in every.values() for name in names]
    found: list[str] = []
    for one in asked or every:
        if one not in every and one not in known:
            raise KeyError(f"the run has no column or stage {one!r}; its columns are {known}.")
        found += every.get(one, (one,))
    return found


@dataclass(frozen=True)
class LazyTable:
    """Columns of a run's stages, beside `id` and `text_hash`; nothing is read before rows are asked for.

    Whatever reads Arrow streams takes it as it is: `polars.DataFrame(table)`, `pyarrow.table(table)`.
    """

    run: OpenRun
    columns: tuple[str, ...]

    def select(self, *columns: str) -> "LazyTable":
        """The same rows with other columns; as `read`, which also says what is raised."""
        return read(self.run, *columns)

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types, from the first file of each stage."""
        return pa.schema([*KEYS, *(pa.field(name, kind_of(self.run.folder, name)) for name in self.columns)])

    def reader(self) -> pa.RecordBatchReader:
        """The rows as a stream.

        Raises
        ------
        Mismatch
            While it is read, if two stages don't hold the same rows.
        """
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.reader().__arrow_c_stream__(requested_schema)

    def scanner(self, *, keep: ds.Expression | None = None) -> ds.Scanner:
        """The rows of which an expression of pyarrow holds, as `pyarrow.dataset.field("scores.influence") > 0.5`."""
        return ds.Scanner.from_batches(self.reader(), filter=keep)

    def to_table(self) -> pa.Table:
        """All rows, in memory."""
        return self.reader().read_all()

    def to_pandas(self) -> Any:
        """All rows as a DataFrame of pandas."""
        return self.to_table().to_pandas()

    def head(self, n: int = 10) -> pa.Table:
        """The first rows; no more is read than they need."""
        found: list[pa.RecordBatch] = []
        for batch in self.reader():
            found.append(batch.slice(0, n - sum(map(len, found))))
            if sum(map(len, found)) >= n:
                break
        return pa.Table.from_batches(found, self.schema)

    def sql(self, query: str) -> pa.Table:
        """The answer of DuckDB to a query of the table `run`: `id`, `text_hash`, and each stage as a struct.

        The columns whose names the query has (all of this table where it asks for `*`) are put into a temporary
        database on disk, so that neither they nor what the query makes of them need fit into memory.

        Raises
        ------
        duckdb.Error
            If the query can't be answered.
        Mismatch
            If two stages don't hold the same rows.
        """
        import duckdb

        is_star = "*" in _COUNT.sub("", query)
        names = [one for one in self.columns if is_star or _is_named(one.partition(".")[2], query)]
        with TemporaryDirectory() as folder, duckdb.connect(str(Path(folder) / "run.duckdb")) as connection:
            connection.register("arrow_rows", LazyTable(self.run, tuple(names)).structs())
            connection.execute("CREATE TABLE run AS SELECT * FROM arrow_rows")
            connection.unregister("arrow_rows")
            return connection.sql(query).to_arrow_table()

    def structs(self) -> pa.RecordBatchReader:
        """The rows as a stream, with the columns of each stage as a struct."""
        of_stage: dict[str, list[pa.Field]] = {}
        for name in self.columns:
            stage, _, column = name.partition(".")
            of_stage.setdefault(stage, []).append(pa.field(column, self.schema.field(name).type))
        schema = pa.schema([*KEYS, *(pa.field(stage, pa.struct(fields)) for stage, fields in of_stage.items())])

        def nested() -> Iterator[pa.RecordBatch]:
            """Batches of structs."""
            for batch in self._batches():
                structs = [
                    pa.StructArray.from_arrays([batch[f"{stage}.{one.name}"] for one in fields], fields=fields)
                    for stage, fields in of_stage.items()
                ]
                yield pa.RecordBatch.from_arrays([*(batch[name] for name in KEYS.names), *structs], schema=schema)

        return pa.RecordBatchReader.from_batches(schema, nested())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        of_stage: dict[str, list[str]] = {}
        for column in self.columns or tuple(f"{stage}." for stage in self.run.stages[:1]):
            stage, _, name = column.partition(".")
            of_stage.setdefault(stage, []).extend([name] if name else [])
        listings = [Listed.of(stage, self.run.folder / stage) for stage in of_stage]
        at = {stage: place for place, stage in enumerate(of_stage)}
        for path in sorted({path for listed in listings for path in listed.files}):
            streams = [self._of_path(listed, path, of_stage[listed.stage]) for listed in listings]
            for parts in _aligned(streams, path=path, stages=list(of_stage)):
                arrays = {name: parts[at[name.partition(".")[0]]][name.partition(".")[2]] for name in self.columns}
                keys = [parts[0][name] for name in KEYS.names]
                yield pa.RecordBatch.from_arrays([*keys, *arrays.values()], schema=self.schema)

    def _of_path(self, listed: Listed, path: str, names: list[str]) -> Iterator[pa.RecordBatch]:
        """A stage's rows of one source file, in their order."""
        for _, (file, _) in sorted(listed.files.get(path, {}).items()):
            with (self.run.folder / listed.stage).open(file) as opened:
                yield from pq.ParquetFile(opened).iter_batches(BATCH_ROWS, columns=[*KEYS.names, *names])


def _aligned(
    streams: Sequence[Iterator[pa.RecordBatch]], *, path: str, stages: Sequence[str]
) -> Iterator[list[pa.RecordBatch]]:
    """The streams' rows side by side, as many at a time as each of them has; their texts must be the same."""
    heads = [_next(stream) for stream in streams]
    while all(head is not None for head in heads):
        n = min(len(head) for head in heads)
        parts = [head.slice(0, n) for head in heads]
        if not all(part[TEXT_HASH].equals(parts[0][TEXT_HASH]) for part in parts[1:]):
            raise _mismatch(path, stages)
        yield parts
        heads = [head.slice(n) if len(head) > n else _next(stream) for head, stream in zip(heads, streams, strict=True)]
    if any(head is not None for head in heads):
        raise _mismatch(path, stages)


def _next(stream: Iterator[pa.RecordBatch]) -> Any:
    """The next batch that has rows, None at the end."""
    return next((batch for batch in stream if len(batch)), None)


def _mismatch(path: str, stages: Sequence[str]) -> Mismatch:
    return Mismatch(
        f"stages {', '.join(stages)} must hold the same rows, but they differ in {path}; give the command of the one "
        "that is older again."
    )


def _is_named(column: str, query: str) -> bool:
    return re.search(rf"\b{re.escape(column)}\b", query, re.IGNORECASE) is not None
