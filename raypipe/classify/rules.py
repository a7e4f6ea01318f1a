"""Default rules with exceptions: where they hold, as a program, as sentences and as SQL.

Source: stratified normal logic programs as FOLD-R++ makes them (H. Wang and G. Gupta, arXiv 2110.07843, section 2): a
rule holds where all its conditions do and none of its exceptions does, which are rules themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.classify.tables import Cells, CellTest


@dataclass(frozen=True)
class DefaultRule:
    """Conditions that all must hold, and rules none of which may."""

    conditions: tuple[CellTest, ...]
    exceptions: tuple["DefaultRule", ...] = ()

    def holds(self, cells: Cells) -> np.ndarray:
        """Where: [n] bool."""
        found = np.ones(len(cells.X), bool)
        for condition in self.conditions:
            found &= cells.holds(condition)
        for exception in self.exceptions:
            found &= ~exception.holds(cells)
        return found

    def to_json(self) -> list[Any]:
        """As lists, texts and numbers."""
        own = [[one.column, one.op, one.value] for one in self.conditions]
        return [own, [one.to_json() for one in self.exceptions]]

    @classmethod
    def from_json(cls, given: list[Any]) -> "DefaultRule":
        """The rule that `to_json` wrote."""
        conditions, exceptions = given
        return cls(tuple(CellTest(*one) for one in conditions), tuple(cls.from_json(one) for one in exceptions))

    @property
    def folded(self) -> "DefaultRule":
        """The same, with exceptions of one bare condition as negated conditions of its own."""
        exceptions = [one.folded for one in self.exceptions]
        bare = [one for one in exceptions if len(one.conditions) == 1 and not one.exceptions]
        more = tuple(one.conditions[0].negated for one in bare)
        return DefaultRule(self.conditions + more, tuple(one for one in exceptions if one not in bare))


def program(rules: Sequence[tuple[str, DefaultRule]], names: Sequence[str]) -> list[str]:
    """Lines `HEAD if CONDITIONS and not ab1`, exceptions after all rules as `ab1 if ...`: each printed once."""
    lines, abnormal = [], _Abnormal(names)
    for head, rule in rules:
        lines.append(f"{head} if {abnormal.body(rule.folded)}")
    return lines + abnormal.lines


def n_printed(rules: Sequence[DefaultRule]) -> int:
    """How many rules a program of them has: default rules and exceptions that stay after folding."""
    columns = 1 + max((one.column for rule in rules for one in _all_conditions(rule)), default=0)
    return len(program([("", rule) for rule in rules], [str(column) for column in range(columns)]))


def n_conditions(rules: Sequence[DefaultRule]) -> int:
    """How many conditions they have, those of exceptions included."""
    return sum(1 for rule in rules for _ in _all_conditions(rule))


def _all_conditions(rule: DefaultRule) -> Iterator[CellTest]:
    yield from rule.conditions
    for exception in rule.exceptions:
        yield from _all_conditions(exception)


class _Abnormal:
    """Names ab1, ab2 ... of exceptions, and their lines."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.lines: list[str] = []
        self._known: dict[DefaultRule, str] = {}

    def name(self, rule: DefaultRule) -> str:
        """The name of an exception; its line is written when it is first asked for."""
        if rule not in self._known:
            body = self.body(rule)  # names what it excepts first
            self._known[rule] = f"ab{len(self._known) + 1}"
            self.lines.append(f"{self._known[rule]} if {body}")
        return self._known[rule]

    def body(self, rule: DefaultRule) -> str:
        """Conditions, and exceptions by name."""
        parts = [*said(rule.conditions, self.names), *(f"not {self.name(one)}" for one in rule.exceptions)]
        return " and ".join(parts)


def said(conditions: Sequence[CellTest], names: Sequence[str]) -> list[str]:
    """Conditions in words; of several bounds of a column the tightest, `x > a` and `x <= b` as `a < x <= b`."""
    bounds: dict[tuple[int, str], float] = {}
    for one in conditions:
        if one.op in ("<=", ">"):
            tightest, key = min if one.op == "<=" else max, (one.column, one.op)
            bounds[key] = tightest(bounds.get(key, float(one.value)), float(one.value))
    found = []
    for one in conditions:
        low, high = bounds.get((one.column, ">")), bounds.get((one.column, "<="))
        if one.op in ("<=", ">"):
            found.append(_range(names[one.column], low, high))
        elif one.op in ("==", "!="):
            is_not, word = ("is not", "!=") if one.op == "!=" else ("is", "=")
            name = names[one.column]
            found.append(f"{name} {is_not} missing" if one.value == "" else f"{name} {word} {one.value!r}")
        else:
            found.append(f"not {names[one.column]} {one.op.removeprefix('not ')} {one.value:g}")
    return list(dict.fromkeys(found))


def _range(name: str, low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} < {name} <= {high:g}"
    return f"{name} > {low:g}" if high is None else f"{name} <= {high:g}"


def sentence(rule: DefaultRule, names: Sequence[str]) -> str:
    """Why a rule holds for a row: its conditions, and the exceptions that don't."""
    rule = rule.folded
    because = " and ".join(said(rule.conditions, names))
    if not rule.exceptions:
        return because
    return f"{because}; and none of: {'; '.join(_nested(one, names) for one in rule.exceptions)}"


def _nested(rule: DefaultRule, names: Sequence[str]) -> str:
    """A rule in brackets, its exceptions spelt out."""
    body = " and ".join(said(rule.conditions, names))
    unless = " or ".join(_nested(one, names) for one in rule.exceptions)
    return f"({body} unless {unless})" if unless else f"({body})"


def sql(rule: DefaultRule, names: Sequence[str], *, is_number: Sequence[bool]) -> str:
    """The rule as an SQL condition that is true or false, never null; `is_number` [d]: what the columns hold."""
    parts = [_sql_of(one, names, is_number) for one in rule.conditions]
    parts += [f"NOT ({sql(one, names, is_number=is_number)})" for one in rule.exceptions]
    return " AND ".join(parts)


def _sql_of(one: CellTest, names: Sequence[str], is_number: Sequence[bool]) -> str:
    column = ".".join('"' + part.replace('"', '""') + '"' for part in names[one.column].split("."))
    if one.op in ("==", "!="):
        text = f"CAST({column} AS VARCHAR)" if is_number[one.column] else column
        value = str(one.value).replace("'", "''")
        return f"coalesce({text}, '') {'=' if one.op == '==' else '<>'} '{value}'"
    found = f"coalesce({column} {one.op.removeprefix('not ')} {one.value!r}, false)"
    return f"NOT {found}" if one.op.startswith("not") else found
