"""Where values stand among the rows of a group, ties in the middle: exact at every value of the table.

A group that is too large to hold gives a fixed sample of its values, and a second reading counts the rows at each of
them and between two neighbours. A value in between stands where a straight line puts it, and so is wrong by less than
the share of the rows that lie there: about ln(m) / m for a table of m values, and known from the counts.
Cost: 24 bytes a value of the table; O(n log n) for n rows.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RankTable:
    """How many rows hold each value of a table, and how many lie between two of them."""

    values: np.ndarray
    """[m] float64, rising, each once"""
    equal: np.ndarray
    """[m] int64, rows with this very value"""
    between: np.ndarray
    """[m + 1] int64, rows below the first value, between neighbours, above the last"""

    @property
    def n_rows(self) -> int:
        """Rows in the group."""
        return int(self.equal.sum() + self.between.sum())

    @property
    def max_error(self) -> float:
        """The most that a rank can be wrong by; 0 where every value of the group is in the table."""
        return int(self.between.max()) / max(self.n_rows, 1)

    @property
    def rms_error(self) -> float:
        """The most that the root of the mean square of all rows' errors can be."""
        shares = self.between / max(self.n_rows, 1)
        return float(np.sqrt((shares**3).sum()))

    def rank(self, values: np.ndarray) -> np.ndarray:
        """Values [n] of the group -> [n] in [0, 1]: the share of rows below, and half of those that are equal."""
        order = np.argsort(values)  # rising queries stay in the cache
        ranks = np.empty(len(values), np.float64)
        ranks[order] = self._rank_rising(values[order])
        return ranks

    def _rank_rising(self, values: np.ndarray) -> np.ndarray:
        m = len(self.values)
        place = np.searchsorted(self.values, values, side="left")
        at = np.minimum(place, m - 1)
        upto = np.cumsum(self.between) + np.append(0, np.cumsum(self.equal))  # rows below values[i], [m + 1]
        low = self.values[np.maximum(place - 1, 0)]
        width = self.values[at] - low
        height = np.divide(values - low, width, out=np.full(len(values), 0.5), where=(width > 0) & (place < m))
        inside = upto[place] - self.between[place] * (1 - height)
        is_known = (place < m) & (self.values[at] == values)
        return np.asarray(np.where(is_known, upto[place] + self.equal[at] / 2, inside) / self.n_rows)


def exact_table(values: np.ndarray) -> RankTable:
    """The table of a group that is held whole: its values [n] in any order."""
    unique, counts = np.unique(values, return_counts=True)
    return RankTable(unique, counts.astype(np.int64), np.zeros(len(unique) + 1, np.int64))


class RankCounts:
    """Gather: the rows of a group at and between the values of a sample."""

    def __init__(self, sample: np.ndarray) -> None:
        self.values = np.unique(sample)
        self.equal = np.zeros(len(self.values), np.int64)
        self.between = np.zeros(len(self.values) + 1, np.int64)

    def update(self, values: np.ndarray) -> None:
        """Add rows: values [n]."""
        rising = np.sort(values)
        place = np.searchsorted(self.values, rising, side="left")
        is_known = self.values[np.minimum(place, len(self.values) - 1)] == rising
        self.equal += np.bincount(place[is_known], minlength=len(self.equal))
        self.between += np.bincount(place[~is_known], minlength=len(self.between))

    def merge(self, other: "RankCounts") -> None:
        """Add the counts of another with the same values.

        Raises
        ------
        ValueError
            If its values differ.
        """
        if not np.array_equal(self.values, other.values):
            raise ValueError("counts must be of the same values to be merged; take both from one sample.")
        self.equal, self.between = self.equal + other.equal, self.between + other.between

    def result(self) -> RankTable:
        """The table so far."""
        return RankTable(self.values, self.equal, self.between)
