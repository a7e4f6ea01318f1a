"""What was selected: by domain, by arm against its controls, and how to use it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from raypipe.report.numbers.join import how_to_join
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.panels.scores import clean_threshold
from raypipe.report.words import count, fraction, value


def selection(numbers: Numbers) -> Panel:
    """What was selected from each domain, and how the arms compare."""
    n_arms = len(numbers.rows.arms)
    tables = [domain_table(numbers)] if n_arms else []
    if n_arms > 1:
        tables += [arms_table(numbers), overlap_table(numbers), shared_table(numbers)]
    said, snippets = how_to_join(numbers.files) if n_arms else ("", [])
    return panel(
        "selection", "Selection", "selection.html",
        tables=tables, is_alone=n_arms == 1, how_joined=said, snippets=snippets,
    )  # fmt: skip


@dataclass(frozen=True)
class _Domains:
    """Some domains together, in the counts of a run."""

    name: str
    numbers: Numbers
    which: Sequence[int]
    threshold: str = ""

    def of(self, name: str) -> int:
        """Their sum of a count."""
        return int(self.numbers.rows.counts[name][self.which].sum())

    @property
    def selected(self) -> int:
        """Documents that the first arm selected."""
        return int(self.numbers.rows.arm_documents[0][self.which].sum())

    @property
    def tokens(self) -> int:
        """Their tokens."""
        return int(self.numbers.rows.arm_tokens[0][self.which].sum())

    def shared(self, arm: int) -> float:
        """Of the documents selected, the share that another arm selected too."""
        return float(self.numbers.rows.shared[arm][self.which].sum() / max(self.selected, 1))


def _by_domain(numbers: Numbers) -> tuple[list[_Domains], list[_Domains]]:
    """The domains shown, the smaller ones together; and all of them."""
    shown, n = numbers.shown, len(numbers.rows.domains)
    found = [_Domains(numbers.rows.domains[at], numbers, [at], _threshold(numbers, at)) for at in shown]
    if others := [at for at in range(n) if at not in set(shown)]:
        found.append(_Domains(f"{count(len(others))} smaller domains", numbers, others, "–"))
    return found, [_Domains("all", numbers, range(n))]


def _threshold(numbers: Numbers, number: int) -> str:
    threshold = clean_threshold(numbers, number)
    return "–" if threshold is None else value(threshold)


def domain_table(numbers: Numbers) -> Markup:
    """Rows, eligible, held out, selected, tokens and threshold of each domain, and in all."""
    every = max(int(numbers.rows.arm_tokens[0].sum()), 1)
    columns = [
        Column[_Domains]("domain", lambda row: foreign(row.name)),
        Column[_Domains]("rows", lambda row: count(row.of("rows"))),
        Column[_Domains]("eligible", lambda row: count(row.of("eligible"))),
        Column[_Domains]("held out", lambda row: count(row.of("heldout"))),
        Column[_Domains]("selected", lambda row: count(row.selected)),
        Column[_Domains]("of eligible", lambda row: fraction(row.selected / max(row.of("eligible"), 1))),
        Column[_Domains]("tokens selected", lambda row: count(row.tokens)),
        Column[_Domains]("of tokens", lambda row: fraction(row.tokens / max(row.of("tokens_total"), 1))),
        Column[_Domains]("of all selected tokens", lambda row: fraction(row.tokens / every)),
        Column[_Domains]("threshold", lambda row: row.threshold),
    ]
    rows, totals = _by_domain(numbers)
    return table("Selection by domain", columns, rows, totals=totals)


@dataclass(frozen=True)
class _Arm:
    """What an arm took."""

    name: str
    documents: int
    tokens: int
    kept: np.ndarray
    """The kept rows among them [n]."""

    def median(self, name: str) -> str:
        """Of a column."""
        finite = self.kept[name][np.isfinite(self.kept[name])]
        return value(float(np.median(finite)) if len(finite) else float("nan"))


def arms_table(numbers: Numbers) -> Markup:
    """Each arm with what it took: documents, tokens, and the medians of what they are like."""
    rows = numbers.rows
    every = int(rows.counts["tokens_total"].sum())
    bit = {arm: place for place, arm in enumerate(numbers.files.arms)}
    arms = [
        _Arm(arm, int(rows.arm_documents[at].sum()), int(rows.arm_tokens[at].sum()),
             rows.kept[(rows.kept["arms"] >> bit[arm]) & 1 == 1])
        for at, arm in enumerate(rows.arms)
    ]  # fmt: skip
    all_scored = _Arm("all scored documents", int(rows.counts["scored"].sum()), every, rows.kept)
    beside = [name for name in ("loss", "zlib_ratio") if name in rows.present and name != rows.scored_by.column]
    columns = [
        Column[_Arm]("arm", lambda row: foreign(row.name)),
        Column[_Arm]("documents", lambda row: count(row.documents)),
        Column[_Arm]("tokens", lambda row: count(row.tokens)),
        Column[_Arm]("of all tokens", lambda row: fraction(row.tokens / max(every, 1))),
        _median_column("score", rows.scored_by.name),
        *(_median_column(name, name.replace("_", " ")) for name in beside),
        Column[_Arm]("mean tokens", lambda row: count(row.tokens / max(row.documents, 1))),
    ]
    return table("Arms", columns, arms, totals=[all_scored])


def _median_column(name: str, said: str) -> Column[_Arm]:
    return Column(f"median {said}", lambda row: row.median(name))


def overlap_table(numbers: Numbers) -> Markup:
    """Of the documents of one arm (row), the share that another arm (column) selected too."""
    rows = numbers.rows
    share = rows.overlap / np.maximum(np.diag(rows.overlap), 1)[:, None]

    def column(j: int) -> Column[int]:
        """The share of an arm in each other."""
        return Column(rows.arms[j], lambda i: cells.faint("100 %") if i == j else cells.heat(
            float(share[i, j]), title=f"{rows.overlap[i, j]} documents"))  # fmt: skip

    first = Column[int]("of the documents of ↓ also in →", lambda i: foreign(rows.arms[i]))
    n = range(len(rows.arms))
    return table("Overlap of the arms", [first, *map(column, n)], n)


def shared_table(numbers: Numbers) -> Markup:
    """Of the documents selected in each domain, the share that each control took there too."""

    def column(arm: int) -> Column[_Domains]:
        """The share of one control."""
        return Column(numbers.rows.arms[arm], lambda row: cells.heat(row.shared(arm)))

    columns = [
        Column[_Domains]("domain", lambda row: foreign(row.name)),
        Column[_Domains]("selected", lambda row: count(row.selected)),
        *map(column, range(1, len(numbers.rows.arms))),
    ]
    rows, totals = _by_domain(numbers)
    return table("Of the selection, also in the control of the same domain", columns, rows, totals=totals)
