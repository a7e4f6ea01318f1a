"""Ranks inside a group of rows that may be too large to hold: exact up to a size, above it by a histogram.

A row's **key** is complex: its score, and in the imaginary part the number in [0, 1) that decides ties. NumPy orders
complex numbers by the real part, then by the imaginary one, so that one sort does both.

A group of at most `exact_rows` rows is held whole, and each key is the upper edge of its own bin. Of a larger group a
fixed sample gives the edges (the rows with the smallest hash: the same whatever the order of reading), and a second
reading counts the rows between them. A row's rank is then wrong by less than its bin's share of the rows, about
ln(m) / m for m edges, and by no more than `max_error`, which is computed from the counts.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from raypipe.arrays.hashing import splitmix64

SAMPLE_ROWS = 1 << 20
"""Edges of a histogram; with so many a bin of 10^9 rows holds about 14,000 at most."""

BELOW_ALL, ABOVE_ALL = complex(-np.inf, 0), complex(np.inf, 0)
Unit = Literal["documents", "tokens"]


def keys_of(scores: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Keys [n] complex128 from scores [n] and ties [n] in [0, 1)."""
    keys = np.empty(len(scores), np.complex128)
    keys.real, keys.imag = scores, ties
    return keys


def bin_of(edges: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """The first edge that is not below each key: [n] in 0 .. len(edges)."""
    order = np.argsort(keys)  # rising queries stay in the cache: 20 times faster than random ones
    bins = np.empty(len(keys), np.int64)
    bins[order] = np.searchsorted(edges, keys[order], side="left")
    return bins


@dataclass(frozen=True)
class Span:
    """Where a share ends: keys in (low, high]; `before` documents or tokens lie above it."""

    low: complex
    high: complex
    before: int


@dataclass(frozen=True)
class Ranks:
    """How many rows, with how many tokens, have a key in (edges[i - 1], edges[i]]; the last bin is open above."""

    edges: np.ndarray
    """[m] complex128, rising"""
    counts: np.ndarray
    """[m + 1] int64"""
    tokens: np.ndarray
    """[m + 1] int64"""

    @property
    def n_rows(self) -> int:
        """Rows in the group."""
        return int(self.counts.sum())

    @property
    def max_error(self) -> float:
        """The most that a rank can be wrong by, as a fraction of the group; 0 if ranks are exact."""
        return max(int(self.counts.max()) - 1, 0) / max(self.n_rows, 1)

    def max_share(self, width: float) -> float:
        """The largest share of the rows whose scores lie within a stretch of that width, counted from the bins.

        A bin counts whole where any of it lies inside; 0 for no width, as ties are decided elsewhere.
        """
        if width <= 0:
            return 0.0
        if not np.isfinite(width):
            return 1.0
        scores = self.edges.real
        last = np.searchsorted(scores, scores + width, side="right")  # the bin into which each stretch reaches
        before = self._upto - self.counts
        most = (self._upto[last] - before[: len(scores)]).max(initial=int(self.counts[-1]))
        return float(most / max(self.n_rows, 1))

    @cached_property
    def _upto(self) -> np.ndarray:
        return np.cumsum(self.counts)

    def rank(self, keys: np.ndarray) -> np.ndarray:
        """[n] keys of the group -> [n] in (0, 1]: the fraction of rows that are not better than this one; 1 is best."""
        bins = bin_of(self.edges, keys)
        counts = self.counts[bins]
        inside = np.clip(self._height(keys, bins) * counts, 1, counts)
        return np.asarray((self._upto[bins] - counts + inside) / self.n_rows)

    def _height(self, keys: np.ndarray, bins: np.ndarray) -> np.ndarray:
        """How far up its bin a key lies, by linear interpolation: [n] in [0, 1]; the middle of the open bins."""
        m = len(self.edges)
        high = self.edges[np.minimum(bins, m - 1)]
        low = self.edges[np.maximum(bins - 1, 0)]
        by_score = high.real > low.real
        rise = np.where(by_score, keys.real - low.real, keys.imag - low.imag)
        width = np.where(by_score, high.real - low.real, high.imag - low.imag)
        height = np.divide(rise, width, out=np.full(len(keys), 0.5), where=width > 0)
        return np.where(keys == high, 1.0, np.where((bins == 0) | (bins == m), 0.5, height))

    def end_of(self, target: int, *, unit: Unit) -> Span:
        """Where the best rows reach the target: a span of one bin, or an empty one if no row is left to decide.

        A bin of a single row is decided here: it is taken if that comes nearer to the target.
        """
        if target <= 0:
            return Span(ABOVE_ALL, ABOVE_ALL, 0)
        sizes = self.counts if unit == "documents" else self.tokens
        reached = np.cumsum(sizes[::-1])
        place = int(np.searchsorted(reached, target, side="left"))
        if place == len(reached):
            return Span(BELOW_ALL, BELOW_ALL, int(reached[-1]))
        bin = len(sizes) - 1 - place
        low = self.edges[bin - 1] if bin > 0 else BELOW_ALL
        high = self.edges[bin] if bin < len(self.edges) else ABOVE_ALL
        before, after = int(reached[place] - sizes[bin]), int(reached[place])
        if self.counts[bin] > 1:
            return Span(low, high, before)
        return Span(low, low, after) if after - target <= target - before else Span(high, high, before)


class Ranking:
    """Gather: the keys of one group, all of them or a fixed sample; 24 bytes a row held."""

    def __init__(self, *, exact_rows: int, sample_rows: int = SAMPLE_ROWS) -> None:
        self.exact_rows, self.sample_rows = exact_rows, min(sample_rows, exact_rows)
        self.n_rows = 0
        self._keys: list[np.ndarray] = []
        self._tokens: list[np.ndarray] = []

    @property
    def is_exact(self) -> bool:
        """Whether every row is held."""
        return self.n_rows <= self.exact_rows

    def update(self, keys: np.ndarray, tokens: np.ndarray) -> None:
        """Add rows: keys [n] complex128, tokens [n] int64."""
        self.n_rows += len(keys)
        self._keys.append(keys)
        self._tokens.append(tokens)
        self._thin()

    def merge(self, other: "Ranking") -> None:
        """Add what another has seen."""
        self.n_rows += other.n_rows
        self._keys += other._keys
        self._tokens += other._tokens
        self._thin()

    def _thin(self) -> None:
        """Keep the rows with the smallest hash once there are too many: any order of adding keeps the same ones."""
        if self.is_exact or sum(map(len, self._keys)) <= 2 * self.sample_rows:
            return
        keys, tokens = np.concatenate(self._keys), np.concatenate(self._tokens)
        kept = _smallest_hashes(keys, self.sample_rows)
        self._keys, self._tokens = [keys[kept]], [tokens[kept]]

    def result(self) -> Ranks:
        """The ranks of the rows seen: exact, or with the sample's edges and nothing counted yet (see `Histogram`)."""
        keys = np.concatenate(self._keys) if self._keys else np.empty(0, np.complex128)
        tokens = np.concatenate(self._tokens) if self._tokens else np.empty(0, np.int64)
        if not self.is_exact:
            edges = np.unique(keys[_smallest_hashes(keys, self.sample_rows)])
            return Ranks(edges, np.zeros(len(edges) + 1, np.int64), np.zeros(len(edges) + 1, np.int64))
        order = np.argsort(keys)
        counts = np.append(np.ones(len(keys), np.int64), 0)
        return Ranks(keys[order], counts, np.append(tokens[order], 0))


def _smallest_hashes(keys: np.ndarray, n: int) -> np.ndarray:
    hashes = splitmix64(np.ascontiguousarray(keys.imag).view(np.uint64))
    return np.argpartition(hashes, n - 1)[:n] if n < len(keys) else np.arange(len(keys))


class Histogram:
    """Gather: rows and tokens of one group between given edges; 16 bytes an edge, whatever the number of rows."""

    def __init__(self, edges: np.ndarray) -> None:
        self.edges = edges
        self.counts = np.zeros(len(edges) + 1, np.int64)
        self.tokens = np.zeros(len(edges) + 1, np.int64)

    def update(self, keys: np.ndarray, tokens: np.ndarray) -> None:
        """Count rows: keys [n] complex128, tokens [n] int64."""
        bins = bin_of(self.edges, keys)
        np.add.at(self.counts, bins, 1)
        np.add.at(self.tokens, bins, tokens)

    def merge(self, other: "Histogram") -> None:
        """Add the counts of another with the same edges.

        Raises
        ------
        ValueError
            If its edges differ.
        """
        if not np.array_equal(self.edges, other.edges):
            raise ValueError("histograms must have the same edges to be merged; take both from one Ranking.result().")
        self.counts = self.counts + other.counts
        self.tokens = self.tokens + other.tokens

    def result(self) -> Ranks:
        """Ranks with an error of at most `max_error`."""
        return Ranks(self.edges, self.counts, self.tokens)
