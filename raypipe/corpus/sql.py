"""The text of a condition parsed by DuckDB: which columns it reads, and whether it is one about the values of a row."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import local
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb

_REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by number",
}
_CLOCKS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
WHOLE = ""
"""In a tree: the value itself is used, not only fields of it."""

Tree = dict[str, "Tree"]
Path = tuple[str, ...]
_EXPECTED = ("OPERATOR_IS_NULL", "OPERATOR_COALESCE")
_OPENED = local()


@dataclass(frozen=True)
class Parsed:
    """What a condition refers to."""

    tree: Tree
    """Its columns, each with the fields of it that are named."""
    required: frozenset[Path]
    """Columns and fields of them, without those of which it says what holds where they are missing: `x IS NULL`,
    `coalesce(x, 0)`."""


def connection() -> "duckdb.DuckDBPyConnection":
    """A database in memory that can reach nothing else."""
    import duckdb

    if not hasattr(_OPENED, "connection"):
        _OPENED.connection = duckdb.connect(
            ":memory:",
            config={"enable_external_access": "false", "python_enable_replacements": "false", "threads": "1"},
        )
        _OPENED.connection.execute("SET lock_configuration = true").fetchall()
    connection: duckdb.DuckDBPyConnection = _OPENED.connection
    return connection


@lru_cache
def parsed(where: str) -> Parsed:
    """The condition, parsed.

    Raises
    ------
    ValueError
        If it isn't one expression on the values of one row.
    """
    expressions = list(_expressions(_one_expression(where)))
    for expression in expressions:
        _check(where, expression)
    names = _names(expressions)
    tree: Tree = {}
    for path in names:
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
        branch[WHOLE] = {}
    if len({name.lower() for name in tree}) < len(tree):
        raise refusal(where, f"write each column in one way; it has {sorted(tree)}")
    expected = [_names(_expressions(one)) for one in expressions if one.get("type") in _EXPECTED]
    return Parsed(tree, frozenset(names) - frozenset(path for paths in expected for path in paths))


def _one_expression(where: str) -> dict:
    if not where.strip():
        raise refusal(where, "it is empty")
    sql = f"SELECT ({where}\n) AS keep FROM rows"
    answer = json.loads(connection().execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()[0][0])
    if answer["error"]:
        raise refusal(where, answer["error_message"])
    node: dict = answer["statements"][0]["node"]
    if len(answer["statements"]) > 1 or node["type"] != "SELECT_NODE" or len(node["select_list"]) > 1:
        raise refusal(where, "it must be one expression")
    return node


def _names(expressions: Iterable[dict]) -> list[Path]:
    """The columns referred to, in order; what a lambda calls its argument is none."""
    expressions = list(expressions)
    arguments = {
        name
        for one in expressions
        if one.get("class") == "LAMBDA" and one.get("syntax_type") == "LAMBDA_KEYWORD"
        for (name,) in _references(_expressions(one["lhs"]))
    }
    return [path for path in _references(expressions) if path[0] not in arguments]


def _references(expressions: Iterable[dict]) -> list[Path]:
    return [tuple(one["column_names"]) for one in expressions if one.get("class") == "COLUMN_REF"]


def _check(where: str, expression: dict) -> None:
    kind, function = expression.get("class"), expression.get("function_name")
    if kind in _REFUSED:
        raise refusal(where, f"{_REFUSED[kind]} doesn't fit, for each row is judged by its own values")
    if function == "row":
        raise refusal(where, "it must be one expression")
    clocks = _CLOCKS.intersection(name.lower() for name in expression.get("column_names", ()))
    if clocks or (function and function in _unstable()):
        raise refusal(where, f"{function or clocks.pop()} doesn't give a row the same answer always")


@lru_cache
def _unstable() -> frozenset[str]:
    """Functions whose result depends on more than their arguments."""
    sql = (
        "SELECT function_name FROM duckdb_functions() GROUP BY 1 HAVING bool_and(function_type = 'aggregate') "
        "OR bool_or(stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY'))"
    )
    return frozenset(name for (name,) in connection().execute(sql).fetchall()) | {"count_star"}


def refusal(where: str, message: str) -> ValueError:
    """The error of a condition that can't be used."""
    return ValueError(f"where {where!r} can't be used: {message}.")


def _expressions(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _expressions(child)


@lru_cache
def failures() -> tuple[type[Exception], ...]:
    """What a condition may be ended by on values that it doesn't fit."""
    import duckdb

    return duckdb.Error, pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError


def first_line(error: BaseException) -> str:
    """What an error says, in short."""
    return str(error).partition("\n")[0].strip().rstrip(".")[:200] or type(error).__name__
