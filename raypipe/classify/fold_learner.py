"""How rules with exceptions are learnt from counted literals: greedily, exceptions as rules of the other class.

Source: H. Wang and G. Gupta, FOLD-R++, arXiv 2110.07843, algorithms 1 to 3; FOLD-RM, arXiv 2202.06913, algorithm 1;
the cut of the long tail is FOLD-SE's (arXiv 2208.07912).
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from raypipe.classify.rules import DefaultRule
from raypipe.classify.tables import OPS, Counted, Op, Rows

CriterionName = Literal["sqrt", "gini", "ig"]
Criterion = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Used = tuple[int, ...]
"""Codes of values that may not be asked about again, so that exceptions can't undo their rule."""


def information_gain(tp: np.ndarray, fn: np.ndarray, tn: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Minus the entropy of the class after the split, in nats; 0 is the best."""
    n = tp + fn + tn + fp

    def part(of: np.ndarray, both: np.ndarray) -> np.ndarray:
        """Of one cell of the table; 0 log 0 is 0."""
        safe = np.where(of > 0, of / np.maximum(both, 1), 1.0)
        found: np.ndarray = of / n * np.log(safe)
        return found

    found: np.ndarray = part(tp, tp + fp) + part(fp, tp + fp) + part(tn, tn + fn) + part(fn, tn + fn)
    return found


def gini(tp: np.ndarray, fn: np.ndarray, tn: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Minus the weighted Gini impurity of the split; 0 is the best."""
    n, said, other = tp + fn + tn + fp, np.maximum(tp + fp, 1), np.maximum(tn + fn, 1)
    found: np.ndarray = -2 / n * (tp * fp / said + tn * fn / other)
    return found


def square_root(tp: np.ndarray, fn: np.ndarray, tn: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Minus the square-root impurity of the split; 0 is the best."""
    found: np.ndarray = -(np.sqrt(tp * fp) + np.sqrt(tn * fn)) / (tp + fn + tn + fp)
    return found


CRITERIA: dict[CriterionName, Criterion] = {"sqrt": square_root, "gini": gini, "ig": information_gain}


class Learner:
    """Learns rules of counted rows; holds nothing of one fit to the next."""

    def __init__(
        self, counted: Counted, *, criterion: CriterionName, ratio: float, min_covered: float, complements: bool
    ):
        """`min_covered`: rows of its class that a rule must newly cover, at least."""
        self.counted = counted
        self.criterion, self.ratio, self.min_covered = CRITERIA[criterion], ratio, min_covered
        start, end, stop = counted.start[:-1], counted.end_of_numbers, counted.start[1:]
        both = (start < end) & (end < stop)  # elsewhere a complement says what the other op does
        self.has_complements = both & complements

    def rule_set(self, positive: Rows, negative: Rows, used: Used = ()) -> list[DefaultRule]:
        """Rules that cover the positive rows, but for those that no rule of any size covers."""
        rules: list[DefaultRule] = []
        while len(positive):
            found = self.rule(positive, negative, used)
            if found is None:
                break
            rule, covered = found
            if covered.sum() < max(1, self.min_covered):
                break
            rules.append(rule)
            positive = positive[~covered]
        return rules

    def ordered_rules(self, y: np.ndarray, n_classes: int) -> tuple[list[tuple[int, DefaultRule]], int]:
        """Rules of the classes y [n], to be tried in their order, and the class of what is left."""
        rest, rules, open_classes = np.arange(len(y)), list[tuple[int, DefaultRule]](), np.ones(n_classes, bool)
        default = int(np.bincount(y, minlength=n_classes).argmax())
        while len(rest):
            sizes = np.bincount(y[rest], minlength=n_classes)
            default = int(sizes.argmax())
            sizes = np.where(open_classes, sizes, 0)
            of = int(sizes.argmax())
            if not sizes[of]:
                break
            positive = rest[y[rest] == of]
            found = self.rule(positive, rest[y[rest] != of], ())
            if found is None or found[1].sum() < max(1, self.min_covered):
                open_classes[of] = False
                continue
            rules.append((of, found[0]))
            rest = np.setdiff1d(rest, positive[found[1]], assume_unique=True)
        return rules, default

    def rule(self, positive: Rows, negative: Rows, used: Used) -> tuple[DefaultRule, np.ndarray] | None:
        """The next rule and which of the positive rows it covers; None if no literal is any good."""
        before, conditions = positive, list[tuple[int, Op]]()
        while True:
            best = self.best(positive, negative, used)
            if best is None:
                break
            conditions.append(best)
            used = (*used, best[0])
            positive, negative = (rows[self.counted.holds(*best, rows)] for rows in (positive, negative))
            if len(negative) <= len(positive) * self.ratio:
                break
        if not conditions:
            return None
        exceptions = self.rule_set(negative, positive, used) if best is not None and len(negative) else []
        rule = DefaultRule(tuple(self.counted.condition(*one) for one in conditions), tuple(exceptions))
        return rule, np.isin(before, positive, assume_unique=True) & ~self._excepted(rule, before)

    def _excepted(self, rule: DefaultRule, rows: Rows) -> np.ndarray:
        found = np.zeros(len(rows), bool)
        for exception in rule.exceptions:
            found |= self._holds(exception, rows)
        return found

    def _holds(self, rule: DefaultRule, rows: Rows) -> np.ndarray:
        found = ~self._excepted(rule, rows)
        for condition in rule.conditions:
            found &= self.counted.cells.holds(condition)[rows]
        return found

    def best(self, positive: Rows, negative: Rows, used: Used) -> tuple[int, Op] | None:
        """The literal with the best score, of equals the first; None if each is more often wrong than right."""
        if not len(positive) + len(negative):
            return None
        present, counts = self.counted.counts(positive, negative)
        tp, fn, tn, fp = counts
        is_right = tp + tn >= fp + fn  # NaN, of ops that a value doesn't have, is not
        is_right[2:4] &= self.has_complements[self.counted.column[present]]
        is_right[:, _places(present, used)] = False
        at, op = np.nonzero(is_right.T)  # by value, then by op: the order of ties
        if not len(at):
            return None
        best = int(self.criterion(*counts[:, op, at]).argmax())
        return int(present[at[best]]), OPS[op[best]]


def _places(present: np.ndarray, used: Used) -> np.ndarray:
    """Where the used codes stand among the present ones, in order; those that aren't there have no place."""
    codes = np.asarray(used, dtype=present.dtype)
    at = np.minimum(np.searchsorted(present, codes), len(present) - 1)
    found: np.ndarray = at[present[at] == codes]
    return found
