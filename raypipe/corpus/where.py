"""The user's SQL condition on rows, evaluated by DuckDB without access to anything but their columns.

A row's verdict depends on that row alone, however the corpus is cut: subqueries, aggregates, windows and functions such
as random() are refused, and JSON rows are evaluated together only where their values have the same types. NaN counts as
null: `score >= 3` doesn't keep a row whose score isn't a number, and `isnan(score)` keeps none; write `score IS NULL`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache

import pyarrow as pa

from raypipe.corpus.partitions import Value, arrow_type, as_number, partitions
from raypipe.corpus.sql import WHOLE, Path, Tree, connection, failures, first_line, parsed, refusal
from raypipe.corpus.values import comparable

FILTERED = "filtered"
_ROW = "__row__"


@dataclass(frozen=True)
class Condition:
    """A condition. Its connection is the thread's own."""

    where: str
    given: tuple[tuple[str, str | None], ...] = ()
    """The columns that a path gives, and their values in it."""

    def of_path(self, path: str) -> "Condition":
        """The condition on the rows of a file: what its folders' names say of them is known."""
        wanted = {name.lower() for name in self.names}
        return replace(self, given=tuple(one for one in partitions(path).items() if one[0].lower() in wanted))

    @property
    def names(self) -> Tree:
        """The columns it refers to, each with the fields of it that are named.

        Raises
        ------
        ValueError
            If it isn't one expression on the values of one row.
        """
        return parsed(self.where).tree

    @property
    def required(self) -> frozenset[Path]:
        """Columns and fields that a corpus must have somewhere: of the others it says what holds without them."""
        return parsed(self.where).required

    @cached_property
    def _read(self) -> Tree:
        """The columns that are the rows' own."""
        given = {name.lower() for name, _ in self.given}
        return {name: tree for name, tree in self.names.items() if name.lower() not in given}

    def columns_of(self, schema: pa.Schema) -> list[str]:
        """The columns of a table that it refers to."""
        wanted = {name.lower() for name in self._read}  # SQL doesn't tell cases apart
        return [name for name in schema.names if name.lower() in wanted]

    def check_schema(self, schema: pa.Schema, *, path: str) -> None:
        """See that it can be evaluated on a table.

        Raises
        ------
        ValueError
            If it can't, for want of a column or because a type doesn't fit; with the nearest name.
        """
        there = [*schema.names, *partitions(path)]
        try:
            fields = [schema.field(name) for name in self.columns_of(schema)]
            nulls = [comparable(pa.nulls(1, field.type)) for field in fields]
            self._keep(self._with_given(pa.table(nulls, [field.name for field in fields]), 1), 1)
        except failures() as error:
            missing = [name for name in self.names if name.lower() not in {other.lower() for other in there}]
            near = [match for name in missing for match in get_close_matches(name, there, n=1)]
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise refusal(self.where, f"{first_line(error)} ({path} has the columns {there}{hint})") from error

    def check_functions(self) -> None:
        """See that its functions exist: all that can be known before JSON is read.

        Raises
        ------
        ValueError
            If one doesn't.
        """
        import duckdb

        try:
            self._keep(pa.table({name: pa.nulls(1) for name in self.names}), 1)
        except (duckdb.CatalogException, duckdb.ParserException) as error:
            raise refusal(self.where, first_line(error)) from error
        except duckdb.Error:
            return  # a matter of types, which only the rows have

    def of_table(self, table: pa.Table, *, n_rows: int) -> list[str | None]:
        """For each row None, or the reason to skip it; n_rows, for there may be no column."""
        return self._verdicts(n_rows, lambda start, stop: table.slice(start, stop - start))

    def _with_given(self, table: pa.Table, n_rows: int) -> pa.Table:
        """The table and the columns that the path gives: as numbers, if they look it and the condition takes them."""
        taken = _taken(self, table.schema) if self.given else ()
        given = {name: pa.array([value] * n_rows, arrow_type(value)) for name, value in taken}
        return pa.table({**dict(zip(table.schema.names, table.columns, strict=True)), **given}) if given else table

    def of_records(self, records: list[dict[str, object]]) -> list[str | None]:
        """For each JSON object None, or the reason to skip it; a key that isn't there is NULL."""
        groups: dict[object, list[int]] = {}
        rows: list[dict[str, object]] = [{}] * len(records)
        verdicts: list[str | None] = [None] * len(records)
        for i, record in enumerate(records):
            try:
                rows[i] = {name: _project(record.get(name), tree) for name, tree in self._read.items()}
                groups.setdefault(_signature(rows[i]), []).append(i)
            except RecursionError:
                verdicts[i] = "condition failed: its values are nested too deeply"
        for members in groups.values():
            found = self._verdicts(len(members), _table_maker([rows[i] for i in members], list(self._read)))
            for i, verdict in zip(members, found, strict=True):
                verdicts[i] = verdict
        return verdicts

    def _verdicts(self, n_rows: int, part: Callable[[int, int], pa.Table]) -> list[str | None]:
        """Verdicts of rows in [0, n_rows); where an evaluation fails, its halves are tried by themselves."""
        verdicts: list[str | None] = []
        ranges = [(0, n_rows)] if n_rows else []
        while ranges:
            start, stop = ranges.pop()
            try:
                verdicts += [
                    None if keep else FILTERED
                    for keep in self._keep(self._with_given(part(start, stop), stop - start), stop - start)
                ]
            except failures() as error:
                if stop - start == 1:
                    verdicts.append(f"condition failed: {first_line(error)}")
                    continue
                middle = (start + stop) // 2
                ranges += [(middle, stop), (start, middle)]
        return verdicts

    def _keep(self, table: pa.Table, n_rows: int) -> list[bool]:
        numbers = pa.array(range(n_rows), pa.int64())
        # A condition may name no column, and a table without columns has no rows.
        numbered = table.append_column(_ROW, numbers) if table.num_columns else pa.table({_ROW: numbers})
        connection().register("rows", numbered)
        try:
            sql = f"SELECT coalesce(CAST(({self.where}\n) AS BOOLEAN), false) FROM rows ORDER BY {_ROW}"
            return [bool(keep) for (keep,) in connection().execute(sql).fetchall()]
        finally:
            connection().unregister("rows")


@lru_cache(maxsize=1024)
def _taken(condition: Condition, schema: pa.Schema) -> tuple[tuple[str, Value], ...]:
    """The given values beside columns of these types; a row's own values have no say in it."""
    numbers = tuple((name, as_number(value)) for name, value in condition.given)
    if numbers == condition.given:
        return numbers
    table = pa.table({field.name: pa.nulls(1, field.type) for field in schema} | {n: pa.array([v]) for n, v in numbers})
    try:
        replace(condition, given=())._keep(table, 1)
    except failures():
        return condition.given
    return numbers


def _project(value: object, tree: Tree) -> object:
    """A JSON value with no more fields than are used, null where one is missing or NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list):
        return [_project(item, {WHOLE: {}}) for item in value]
    if not isinstance(value, dict):
        return value
    named = {name: _project(value.get(name), below) for name, below in tree.items() if name != WHOLE}
    if WHOLE not in tree:
        return named
    return {**{name: _project(below, {WHOLE: {}}) for name, below in value.items()}, **named}


def _signature(value: object) -> object:
    """Equal for values whose Arrow types are equal."""
    if isinstance(value, dict):
        return tuple((name, _signature(below)) for name, below in value.items())
    if isinstance(value, list):
        return frozenset(_signature(below) for below in value)
    return type(value)


def _table_maker(rows: list[dict[str, object]], names: list[str]) -> Callable[[int, int], pa.Table]:
    return lambda start, stop: pa.table({name: pa.array([row[name] for row in rows[start:stop]]) for name in names})
