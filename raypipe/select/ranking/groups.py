"""The eligible rows of a run by ranking group, and what is computed over them: ranks, adjustments, ends of shares.

A group is a domain, or all domains that are too small to be ranked alone. Every function reads the rows file by file
and folds them into one accumulator a group.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.arrays.hashing import uniform
from raypipe.select.dedup.duplicates import Copies
from raypipe.select.ranking.adjust import ADJUST_ROWS, RankRegression
from raypipe.select.ranking.orders import Adjusted, Order, keys
from raypipe.select.ranking.rank_table import RankCounts, RankTable, exact_table
from raypipe.select.ranking.ranks import BELOW_ALL, Histogram, Ranking, Ranks, Unit, keys_of
from raypipe.select.rows import REGRESSORS, Regressor, Rows, Scores

POOLED = "(pooled)"


@dataclass(frozen=True)
class Eligible:
    """The rows that compete, by file and group."""

    scores: Scores
    copies: dict[int, np.ndarray]
    """By file number: the rows whose text has stood in an earlier row"""
    group_of: dict[str, str]
    """By domain; a domain without eligible rows may be missing"""

    def files(self) -> Iterator[tuple[int, Rows, np.ndarray]]:
        """(file number, its rows, which of them are copies [n] bool), in corpus order."""
        for file, rows in enumerate(self.scores.rows()):
            is_copy = np.zeros(len(rows), bool)
            is_copy[self.copies.get(file, [])] = True
            yield file, rows, is_copy

    def parts(self) -> Iterator[tuple[str, Rows]]:
        """(group, the eligible rows of it in one file)."""
        for _, rows, is_copy in self.files():
            yield from self.split(rows.take(rows.is_candidate & ~is_copy))

    def split(self, rows: Rows) -> Iterator[tuple[str, Rows]]:
        """The rows by group."""
        names = sorted({self.group_of[rows.domains[code]] for code in np.unique(rows.domain)})
        number = {group: place for place, group in enumerate(names)}
        of_domain = np.array([number.get(self.group_of.get(domain, ""), -1) for domain in rows.domains], np.int32)
        numbers = of_domain[rows.domain]
        order = np.argsort(numbers, kind="stable")  # one sort, however many groups there are
        starts = np.searchsorted(numbers[order], np.arange(len(names)))
        for group, members in zip(names, np.split(order, starts[1:]), strict=True) if names else ():
            yield group, rows.take(members)

    def fold(self, make: Callable[[str], Any], update: Callable[[Any, str, Rows], None]) -> dict[str, Any]:
        """An accumulator for each group, updated with its rows."""
        gathers: dict[str, Any] = {}
        for group, rows in self.parts():
            if group not in gathers:
                gathers[group] = make(group)
            update(gathers[group], group, rows)
        return gathers


def find_copies(scores: Scores, *, n_rows: int) -> dict[int, np.ndarray]:
    """Later copies of a scored text by file number; at most `exact_rows` hashes are held at a time."""
    n_parts = -(-n_rows // scores.eligibility.exact_rows)
    found: dict[int, list[np.ndarray]] = {}
    for remainder in range(n_parts):
        copies = Copies(n_parts=n_parts, remainder=remainder)
        for file, rows in enumerate(scores.rows()):
            competing = rows.is_scored & ~rows.is_heldout
            copies.update(file, rows.index[competing], rows.text_hash[competing])
        for file, numbers in copies.result().items():
            found.setdefault(file, []).append(numbers)
    return {file: np.concatenate(numbers) for file, numbers in found.items()}


def pool_small(n_eligible: dict[str, int], *, min_rows: int) -> dict[str, str]:
    """The ranking group of each domain: itself, or "(pooled)" if it has fewer eligible rows than that."""
    return {domain: domain if n >= min_rows else POOLED for domain, n in n_eligible.items()}


def rank_groups(eligible: Eligible, order: Order) -> dict[str, Ranks]:
    """The ranks of each group in this order; groups too large to hold are read a second time and counted."""
    exact_rows, seed = eligible.scores.eligibility.exact_rows, eligible.scores.seed

    def add(gather: Ranking | Histogram, group: str, rows: Rows) -> None:
        """Add rows to what is gathered of their group."""
        gather.update(keys(rows, group, order=order, seed=seed), rows.n_tokens_total)

    def count(gather: Histogram | None, group: str, rows: Rows) -> None:
        """Add rows to the histogram of their group."""
        if gather is not None:
            add(gather, group, rows)

    rankings = eligible.fold(lambda _: Ranking(exact_rows=exact_rows), add)
    ranks, large = {}, {}
    while rankings:  # one at a time: a result is as large as what it is made from
        group, ranking = rankings.popitem()
        ranks[group] = ranking.result()
        if not ranking.is_exact:
            large[group] = ranks[group].edges
    if large:
        counted = eligible.fold(lambda group: Histogram(large[group]) if group in large else None, count)
        ranks |= {group: counted[group].result() for group in large}
    return ranks


def find_bounds(
    eligible: Eligible, order: Order, *, ranks: dict[str, Ranks], targets: dict[str, int], unit: Unit
) -> dict[str, complex]:
    """The key above which rows are taken so that each group reaches its target, to the nearest document.

    Exact in any case: where ranks come from a histogram, the rows of the bin in which the share ends are read once
    more and sorted.
    """
    seed = eligible.scores.seed
    spans = {group: ranks[group].end_of(target, unit=unit) for group, target in targets.items()}
    undecided = {group: span for group, span in spans.items() if span.low != span.high}

    def add_inside(gather: Ranking | None, group: str, rows: Rows) -> None:
        """Add the rows inside the bounds to the ranking of their group."""
        if gather is not None:
            found = keys(rows, group, order=order, seed=seed)
            inside = (found > undecided[group].low) & (found <= undecided[group].high)
            gather.update(found[inside], rows.n_tokens_total[inside])

    bounds = {group: span.low for group, span in spans.items()}
    if undecided:
        all_rows = max(ranks[group].n_rows for group in undecided)
        inside = eligible.fold(lambda group: Ranking(exact_rows=all_rows) if group in undecided else None, add_inside)
        for group, span in undecided.items():
            end = inside[group].result().end_of(targets[group] - span.before, unit=unit)
            bounds[group] = span.low if end.low == BELOW_ALL else end.low
    return bounds


def adjust(eligible: Eligible, regressors: tuple[Regressor, ...]) -> Adjusted:
    """The order by what the regressors leave unexplained of the score's rank, fitted in each group."""
    names, seed = tuple(REGRESSORS[name] for name in regressors), eligible.scores.seed

    def add(gathers: list[Ranking], group: str, rows: Rows) -> None:
        """Add rows to what is gathered of their group."""
        ties = uniform(rows.text_hash, seed=seed, purpose="ties")
        for gather, values in zip(gathers, [rows.score, *(rows.further[name] for name in names)], strict=True):
            gather.update(keys_of(values, ties), rows.n_tokens_total)

    held = min(eligible.scores.eligibility.exact_rows, ADJUST_ROWS)
    gathers = eligible.fold(lambda _: [Ranking(exact_rows=held, sample_rows=held) for _ in ("score", *names)], add)
    unfitted = Adjusted(names, _rank_tables(eligible, names, gathers), {})

    def regress(gather: RankRegression, group: str, rows: Rows) -> None:
        """Add rows to the regression of their group."""
        gather.update(*unfitted.ranked(rows, group))

    fits = eligible.fold(lambda _: RankRegression(len(names)), regress)
    return Adjusted(names, unfitted.tables, {group: fit.result() for group, fit in fits.items()})


def _rank_tables(
    eligible: Eligible, names: tuple[str, ...], gathers: dict[str, list[Ranking]]
) -> dict[str, list[RankTable]]:
    """By group the tables of the score and each regressor; of groups that are sampled all rows are counted."""
    held = {group: [gather.result().edges.real.copy() for gather in parts] for group, parts in gathers.items()}
    sampled = {group for group, parts in gathers.items() if not parts[0].is_exact}
    gathers.clear()

    def count(gather: list[RankCounts], group: str, rows: Rows) -> None:
        """Count rows between the sampled values of their group."""
        if gather:
            for counts, values in zip(gather, Adjusted(names, {}, {}).values(rows), strict=True):
                counts.update(values)

    def make(group: str) -> list[RankCounts]:
        """The counts of a group, none where it is held whole."""
        return [RankCounts(values) for values in held[group]] if group in sampled else []

    counted = eligible.fold(make, count) if sampled else {}
    return {
        group: [counts.result() for counts in counted[group]] if group in sampled else list(map(exact_table, values))
        for group, values in held.items()
    }
