"""Quantiles of many numbers from counts that merge: the same for any cut, and within 1 part in 4,096 of the number.

A float32 keeps its order when its bits are read as an integer (with the others turned where the sign is set). Of these
bits the first 21 (sign, exponent and 12 of the mantissa) name a cell, and each cell counts its numbers. Source: our
own. Cost: O(n log n) for each part; memory 12 bytes for each cell that has a number, at most 2**21 of them.
"""

from dataclasses import dataclass, field

import numpy as np

_DROPPED_BITS = 11


@dataclass
class Quantiles:
    """Counts of finite numbers by cell, and of those that aren't finite."""

    cells: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint32))
    """Sorted, each once: [c]."""
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    """Of each cell: [c]."""
    n_other: int = 0
    """NaN and infinite."""

    @property
    def n(self) -> int:
        """Finite numbers taken in."""
        return int(self.counts.sum())

    def add(self, values: np.ndarray) -> None:
        """Take in numbers [n], counted as float32."""
        values = np.asarray(values, np.float32)
        finite = values[np.isfinite(values)]
        self.n_other += len(values) - len(finite)
        cells, counts = np.unique(_ordered(finite) >> _DROPPED_BITS, return_counts=True)
        self._take(cells, counts)

    def merge(self, other: "Quantiles") -> None:
        """Take in what another has."""
        self.n_other += other.n_other
        self._take(other.cells, other.counts)

    def _take(self, cells: np.ndarray, counts: np.ndarray) -> None:
        every, at = np.unique(np.concatenate([self.cells, cells]), return_inverse=True)
        total = np.zeros(len(every), np.int64)
        np.add.at(total, at, np.concatenate([self.counts, counts]))
        self.cells, self.counts = every.astype(np.uint32), total

    def at(self, fractions: np.ndarray) -> np.ndarray:
        """The smallest cell's number that at least such a fraction is at or below: [q] in [0, 1] -> float64 [q].

        A cell's number is the one in it that is nearest to 0, so that 0 and small integers are exact. NaN without any.

        Raises
        ------
        ValueError
            If a fraction isn't in [0, 1].
        """
        fractions = np.asarray(fractions, np.float64)
        if not ((fractions >= 0) & (fractions <= 1)).all():
            raise ValueError(f"fractions must be in [0, 1], got {fractions.tolist()}.")
        if not self.n:
            return np.full(fractions.shape, np.nan)
        below = np.cumsum(self.counts)
        wanted = np.maximum(1, np.ceil(fractions * self.n - 1e-9))
        found: np.ndarray = _number(self.cells[np.searchsorted(below, wanted)]).astype(np.float64)
        return found


def _ordered(values: np.ndarray) -> np.ndarray:
    """float32 -> uint32 in the same order; -0 is 0."""
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _number(cells: np.ndarray) -> np.ndarray:
    """The number of a cell that is nearest to 0."""
    low = cells.astype(np.uint32) << np.uint32(_DROPPED_BITS)
    is_negative = (low >> 31) == 0
    bits = np.where(is_negative, ~(low | np.uint32((1 << _DROPPED_BITS) - 1)), low ^ np.uint32(1 << 31))
    found: np.ndarray = bits.astype(np.uint32).view(np.float32)
    return found
