"""The user's SQL condition on rows, evaluated by DuckDB without access to anything but their columns.

A row's verdict depends on that row alone, however the corpus is cut: subqueries, aggregates, windows and functions such
as random() are refused, and JSON rows are evaluated together only where their values have the same types. NaN counts as
null: `score >= 3` doesn't keep a row whose score isn't a number, and `isnan(score)` keeps none; write `score IS NULL`.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import local

import duckdb
import pyarrow as pa

from raypipe.corpus.values import comparable

FILTERED = "filtered"
_ROW = "__row__"
_REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by number",
}
_CLOCKS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
_FAILURES = (duckdb.Error, pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError)
_WHOLE = ""  # in a tree: the value itself is used, not only fields of it
Tree = dict[str, "Tree"]
_OPENED = local()


@dataclass(frozen=True)
class Condition:
    """A condition. Its connection is the thread's own."""

    where: str

    @property
    def names(self) -> Tree:
        """The columns it refers to, each with the fields of it that are named.

        Raises
        ------
        ValueError
            If it isn't one expression on the values of one row.
        """
        return _parsed(self.where)

    def columns_of(self, schema: pa.Schema) -> list[str]:
        """The columns of a table that it refers to."""
        wanted = {name.lower() for name in self.names}  # SQL doesn't tell cases apart
        return [name for name in schema.names if name.lower() in wanted]

    def check_schema(self, schema: pa.Schema, *, path: str) -> None:
        """See that it can be evaluated on a table.

        Raises
        ------
        ValueError
            If it can't, for want of a column or because a type doesn't fit.
        """
        try:
            fields = [schema.field(name) for name in self.columns_of(schema)]
            nulls = [comparable(pa.nulls(1, field.type)) for field in fields]
            self._keep(pa.table(nulls, [field.name for field in fields]), 1)
        except _FAILURES as error:
            raise _refusal(self.where, f"{_first_line(error)} ({path} has the columns {schema.names})") from error

    def check_functions(self) -> None:
        """See that its functions exist: all that can be known before JSON is read.

        Raises
        ------
        ValueError
            If one doesn't.
        """
        try:
            self._keep(pa.table({name: pa.nulls(1) for name in self.names}), 1)
        except (duckdb.CatalogException, duckdb.ParserException) as error:
            raise _refusal(self.where, _first_line(error)) from error
        except duckdb.Error:
            return  # a matter of types, which only the rows have

    def of_table(self, table: pa.Table, *, n_rows: int) -> list[str | None]:
        """For each row None, or the reason to skip it; n_rows, for there may be no column."""
        return self._verdicts(n_rows, lambda start, stop: table.slice(start, stop - start))

    def of_records(self, records: list[dict[str, object]]) -> list[str | None]:
        """For each JSON object None, or the reason to skip it; a key that isn't there is NULL."""
        groups: dict[object, list[int]] = {}
        rows: list[dict[str, object]] = [{}] * len(records)
        verdicts: list[str | None] = [None] * len(records)
        for i, record in enumerate(records):
            try:
                rows[i] = {name: _project(record.get(name), tree) for name, tree in self.names.items()}
                groups.setdefault(_signature(rows[i]), []).append(i)
            except RecursionError:
                verdicts[i] = "condition failed: its values are nested too deeply"
        for members in groups.values():
            found = self._verdicts(len(members), _table_maker([rows[i] for i in members], list(self.names)))
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
                verdicts += [None if keep else FILTERED for keep in self._keep(part(start, stop), stop - start)]
            except _FAILURES as error:
                if stop - start == 1:
                    verdicts.append(f"condition failed: {_first_line(error)}")
                    continue
                middle = (start + stop) // 2
                ranges += [(middle, stop), (start, middle)]
        return verdicts

    def _keep(self, table: pa.Table, n_rows: int) -> list[bool]:
        numbers = pa.array(range(n_rows), pa.int64())
        # A condition may name no column, and a table without columns has no rows.
        numbered = table.append_column(_ROW, numbers) if table.num_columns else pa.table({_ROW: numbers})
        _connection().register("rows", numbered)
        try:
            sql = f"SELECT coalesce(CAST(({self.where}\n) AS BOOLEAN), false) FROM rows ORDER BY {_ROW}"
            return [bool(keep) for (keep,) in _connection().execute(sql).fetchall()]
        finally:
            _connection().unregister("rows")


def _connection() -> duckdb.DuckDBPyConnection:
    """A database in memory that can reach nothing else."""
    if not hasattr(_OPENED, "connection"):
        _OPENED.connection = duckdb.connect(
            ":memory:",
            config={"enable_external_access": "false", "python_enable_replacements": "false", "threads": "1"},
        )
        _OPENED.connection.execute("SET lock_configuration = true").fetchall()
    connection: duckdb.DuckDBPyConnection = _OPENED.connection
    return connection


@lru_cache
def _parsed(where: str) -> Tree:
    if not where.strip():
        raise _refusal(where, "it is empty")
    sql = f"SELECT ({where}\n) AS keep FROM rows"
    answer = json.loads(_connection().execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()[0][0])
    if answer["error"]:
        raise _refusal(where, answer["error_message"])
    node = answer["statements"][0]["node"]
    if len(answer["statements"]) > 1 or node["type"] != "SELECT_NODE" or len(node["select_list"]) > 1:
        raise _refusal(where, "it must be one expression")
    tree: Tree = {}
    for expression in _expressions(node):
        _check(where, expression)
        branch = tree
        for name in expression.get("column_names", ()):
            branch = branch.setdefault(name, {})
        branch[_WHOLE] = {}
    tree.pop(_WHOLE)
    if len({name.lower() for name in tree}) < len(tree):
        raise _refusal(where, f"write each column in one way; it has {sorted(tree)}")
    return tree


def _check(where: str, expression: dict) -> None:
    kind, function = expression.get("class"), expression.get("function_name")
    if kind in _REFUSED:
        raise _refusal(where, f"{_REFUSED[kind]} doesn't fit, for each row is judged by its own values")
    if function == "row":
        raise _refusal(where, "it must be one expression")
    clocks = _CLOCKS.intersection(name.lower() for name in expression.get("column_names", ()))
    if clocks or (function and function in _unstable()):
        raise _refusal(where, f"{function or clocks.pop()} doesn't give a row the same answer always")


@lru_cache
def _unstable() -> frozenset[str]:
    """Functions whose result depends on more than their arguments."""
    sql = (
        "SELECT function_name FROM duckdb_functions() GROUP BY 1 HAVING bool_and(function_type = 'aggregate') "
        "OR bool_or(stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY'))"
    )
    return frozenset(name for (name,) in _connection().execute(sql).fetchall()) | {"count_star"}


def _refusal(where: str, message: str) -> ValueError:
    return ValueError(f"where {where!r} can't be used: {message}.")


def _expressions(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _expressions(child)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip().rstrip(".")[:200] or type(error).__name__


def _project(value: object, tree: Tree) -> object:
    """A JSON value with no more fields than are used, null where one is missing or NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, list):
        return [_project(item, {_WHOLE: {}}) for item in value]
    if not isinstance(value, dict):
        return value
    named = {name: _project(value.get(name), below) for name, below in tree.items() if name != _WHOLE}
    if _WHOLE not in tree:
        return named
    return {**{name: _project(below, {_WHOLE: {}}) for name, below in value.items()}, **named}


def _signature(value: object) -> object:
    """Equal for values whose Arrow types are equal."""
    if isinstance(value, dict):
        return tuple((name, _signature(below)) for name, below in value.items())
    if isinstance(value, list):
        return frozenset(_signature(below) for below in value)
    return type(value)


def _table_maker(rows: list[dict[str, object]], names: list[str]) -> Callable[[int, int], pa.Table]:
    return lambda start, stop: pa.table({name: pa.array([row[name] for row in rows[start:stop]]) for name in names})
