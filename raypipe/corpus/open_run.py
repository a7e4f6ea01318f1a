"""The stages of a run as one table: rows of the same source file, joined by position, each join checked by text."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.columns import ID, KEYS, TEXT_HASH
from raypipe.corpus.stages import Listed, Mismatch
from raypipe.runs.card import read_card
from raypipe.storage.folder import Folder

RUN_FILE = "run.json"
_COUNT = re.compile(r"count\s*\(\s*\*\s*\)", re.IGNORECASE)


def open_run(uri: str) -> "OpenRun":
    """The run in a folder at any URI; nothing is read but its listing.

    Raises
    ------
    ValueError
        If there is no run.
    """
    run = OpenRun(Folder(uri))
    if not run.stages and not run.folder.exists(RUN_FILE):
        raise ValueError(f"a run folder must hold {RUN_FILE} or stages, got {uri!r} without any.")
    return run


@dataclass(frozen=True)
class OpenRun:
    """A run folder to read from."""

    folder: Folder

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that have a row for each row of the corpus, sorted."""
        files = (entry.path.split("/") for entry in self.folder.files(recursive=True))
        names = sorted({parts[0] for parts in files if len(parts) == 2 and parts[1].endswith(".parquet")})
        return tuple(name for name in names if set(KEYS.names) <= set(self._schema(name).names))

    def card(self, stage: str) -> dict[str, Any]:
        """The stage's card: its settings, versions, counts and times.

        Raises
        ------
        KeyError
            If the run has no such stage.
        """
        if (card := read_card(self.folder / stage)) is None:
            raise KeyError(f"the run has no stage {stage!r}; its stages are {list(self.stages)}.")
        return dict(card)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """run.json: the settings as resolved, the stages, how it ended."""
        return dict(json.loads(self.folder.read(RUN_FILE)))

    def columns(self, stage: str) -> tuple[str, ...]:
        """The columns that a stage adds, as `table` takes them: `scores.influence`."""
        return tuple(f"{stage}.{name}" for name in self._schema(stage).names if name not in KEYS.names)

    def table(self, *columns: str) -> pa.Table:
        """`id`, `text_hash` and the columns asked for (`scores.influence`; none: all of all stages), a row each.

        Raises
        ------
        KeyError
            If a column isn't there.
        Mismatch
            If two stages don't hold the same rows.
        """
        wanted = columns or tuple(column for stage in self.stages for column in self.columns(stage))
        tables = list(self.by_file(*wanted))
        if tables:
            return pa.concat_tables(tables)
        named = [pa.field(name, self._field(name).type) for name in wanted]
        return pa.schema([*KEYS, *named]).empty_table()

    def sql(self, query: str) -> pa.Table:
        """The answer of DuckDB to a query of the table `run`: `id`, `text_hash`, and each stage as a struct.

        `SELECT scores.influence FROM run WHERE selection.selected`; a stage with a hyphen stands in quotes. Read into
        memory are the columns whose names the query has, all of them where it asks for `*`.

        Raises
        ------
        duckdb.Error
            If the query can't be answered.
        Mismatch
            If two stages don't hold the same rows.
        """
        import duckdb

        every = [column for stage in self.stages for column in self.columns(stage)]
        is_star = "*" in _COUNT.sub("", query)
        named = [one for one in every if is_star or re.search(rf"\b{re.escape(one.partition('.')[2])}\b", query, re.I)]
        table = self.table(*(named or every[:1]))
        found: dict[str, Any] = {name: table[name] for name in KEYS.names}
        for stage in dict.fromkeys(column.partition(".")[0] for column in named):
            own = [column for column in named if column.startswith(f"{stage}.")]
            parts = [table[column].combine_chunks() for column in own]
            found[stage] = pa.StructArray.from_arrays(parts, [column.partition(".")[2] for column in own])
        with duckdb.connect() as connection:
            connection.register("run", pa.table(found))
            return connection.sql(query).to_arrow_table()

    def by_file(self, *columns: str) -> Iterator[pa.Table]:
        """`table`, the rows of one source file at a time: for runs that don't fit into memory."""
        of_stage: dict[str, list[str]] = {}
        for column in columns:
            self._field(column)
            of_stage.setdefault(column.partition(".")[0], []).append(column.partition(".")[2])
        listings = [Listed.of(stage, self.folder / stage) for stage in of_stage]
        for path in sorted({path for listed in listings for path in listed.files}):
            yield self._joined(path, listings, of_stage, columns)

    def _joined(
        self, path: str, listings: Sequence[Listed], of_stage: Mapping[str, list[str]], columns: Sequence[str]
    ) -> pa.Table:
        found: dict[str, Any] = {}
        for listed in listings:
            names = [name for _, (name, _) in sorted(listed.files.get(path, {}).items())]
            parts = [self._read(f"{listed.stage}/{name}", [*KEYS.names, *of_stage[listed.stage]]) for name in names]
            if not parts or (found and not pa.concat_tables(parts)[TEXT_HASH].equals(found[TEXT_HASH])):
                raise Mismatch(
                    f"stages {', '.join(of_stage)} must hold the same rows, but {listed.stage!r} has others of {path}; "
                    "give its command again first."
                )
            table = pa.concat_tables(parts)
            found = found or {ID: table[ID], TEXT_HASH: table[TEXT_HASH]}
            found |= {f"{listed.stage}.{name}": table[name] for name in of_stage[listed.stage]}
        return pa.table({name: found[name] for name in (ID, TEXT_HASH, *columns)})

    def _read(self, path: str, columns: list[str]) -> pa.Table:
        with self.folder.open(path) as file:
            return pq.ParquetFile(file).read(columns)

    def _field(self, column: str) -> pa.Field:
        stage, _, name = column.partition(".")
        if stage not in self.stages or name not in self._schema(stage).names:
            known = [known for stage in self.stages for known in self.columns(stage)]
            raise KeyError(f"the run has no column {column!r}; its columns are {known}.")
        return self._schema(stage).field(name)

    def _schema(self, stage: str) -> pa.Schema:
        first = min(entry.path for entry in (self.folder / stage).files() if entry.path.endswith(".parquet"))
        with self.folder.open(f"{stage}/{first}") as file:
            return pq.ParquetFile(file).schema_arrow
