"""Conditions on the columns of a run's stages: which columns they name, and for which rows they hold.

Source: DuckDB, cut off from everything but the row; subqueries, aggregates, windows and random() are refused.
Departures: NaN counts as null, and null as not kept, as in --where.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import pyarrow as pa

from raypipe.corpus.sql import WHOLE, Tree, connection, failures, first_line, parsed
from raypipe.corpus.values import comparable

_ROW, _ROWS = "__row__", "ruled_rows"

Column = tuple[str, str]
"""Stage and column; the stage is "" for what a selection itself knows of a row."""


@dataclass(frozen=True)
class KeepRule:
    """A condition by the name that tables and reasons call it."""

    name: str
    condition: str
    stage: str | None = None
    """Whose columns bare names are; None: of whichever stage has one."""

    @property
    def named(self) -> tuple[str, ...]:
        """What it names: `column`, or `stage.column`.

        Raises
        ------
        ValueError
            If it isn't one expression on the values of one row.
        """
        try:
            return tuple(dict.fromkeys(_paths(parsed(self.condition).tree)))
        except failures() as error:
            raise refused(self, error) from error


def conjuncts(condition: str) -> list[str]:
    """The parts that `and` joins at the outermost, each by itself; the condition, if there is but one.

    Raises
    ------
    ValueError
        If it isn't one expression on the values of one row.
    """
    _ = KeepRule(condition, condition).named
    whole = f"SELECT ({condition}\n) AS keep FROM rows"
    tree = json.loads(connection().execute("SELECT json_serialize_sql(?::VARCHAR)", [whole]).fetchall()[0][0])
    node = tree["statements"][0]["node"]
    kept = node["select_list"][0]
    if kept.get("type") != "CONJUNCTION_AND":
        return [condition]
    found = []
    for part in kept["children"]:
        node["select_list"] = [part]
        sql = connection().execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchall()[0][0]
        found.append(str(sql).removeprefix("SELECT ").removesuffix(' FROM "rows"').removesuffix(" FROM rows"))
    return found


def refused(rule: KeepRule, error: Exception) -> ValueError:
    """The error of a rule that can't be asked."""
    said = first_line(error)
    return ValueError(f"rule {rule.condition!r} can't be used: {said.partition(' be used: ')[2] or said}.")


def _paths(tree: Tree) -> Iterable[str]:
    for name, below in tree.items():
        fields = [field for field in below if field != WHOLE]
        yield from [f"{name}.{field}" for field in fields] or [name]


def find(rule: KeepRule, named: str, columns: Mapping[str, Sequence[str]], *, own: Sequence[str]) -> Column:
    """The column that is meant, by the columns of each stage; a bare name must be that of one alone, or the rule's.

    Raises
    ------
    KeyError
        If there is none, with the nearest; or several.
    """
    stage, _, name = named.rpartition(".")
    stage = stage or rule.stage or ""
    if stage:
        found = [(stage, name)] if name in columns.get(stage, ()) else []
    else:
        found = [("", name)] if name in own else [(one, name) for one, of in columns.items() if name in of]
    if len(found) == 1:
        return found[0]
    if found:
        raise KeyError(f"{name!r} is a column of several stages; say which: {', '.join(f'{s}.{n}' for s, n in found)}.")
    if rule.stage is not None:
        raise KeyError(f"rule {rule.name!r} needs column {name!r} of stage {stage!r}, which describe_corpus makes.")
    known = [
        *own,
        *(name for of in columns.values() for name in of),
        *(f"{s}.{n}" for s in columns for n in columns[s]),
    ]
    near = get_close_matches(named, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"its stages are {', '.join(columns) or 'none'}."
    raise KeyError(f"no stage of the run has a column {named!r}; {hint}")


def holds(rules: Sequence[KeepRule], table: pa.Table, n_rows: int) -> np.ndarray:
    """Which rows keep which rules: [rules, n] bool; `table` has a column for each name, of a stage as `stage.column`.

    Raises
    ------
    ValueError
        If a rule doesn't fit the columns, with what DuckDB says of it.
    """
    found = np.zeros((len(rules), n_rows), bool)
    rows = {_ROW: pa.array(range(n_rows), pa.int64()), **_as_structs(table)}
    connection().register(_ROWS, pa.table(rows))
    try:
        for at, rule in enumerate(rules):
            sql = f"SELECT coalesce(CAST(({rule.condition}\n) AS BOOLEAN), false) AS held FROM {_ROWS} ORDER BY {_ROW}"
            try:
                answers = connection().execute(sql).fetchall()
            except failures() as error:
                raise refused(rule, error) from error
            found[at] = [held for (held,) in answers]
    finally:
        connection().unregister(_ROWS)
    return found


def _as_structs(table: pa.Table) -> dict[str, pa.Array]:
    """The columns by name; `stage.column` as the field of one column, so that SQL reads it as it is written."""
    found: dict[str, pa.Array] = {}
    fields: dict[str, dict[str, pa.Array]] = {}
    for name in table.column_names:
        whole = table[name].combine_chunks()
        values = comparable(pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole)
        stage, dot, field = name.partition(".")
        if dot:
            fields.setdefault(stage, {})[field] = values
        else:
            found[name] = values
    return found | {stage: pa.StructArray.from_arrays(list(of.values()), list(of)) for stage, of in fields.items()}
