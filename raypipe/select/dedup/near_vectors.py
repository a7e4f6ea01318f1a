"""Pairs of vectors with a cosine of at least a threshold, sought inside cells of a spherical k-means.

Source: A. Abbas et al., SemDeDup, arXiv 2303.09540, section 3 (k-means, then all pairs inside a cluster).
Departures: a row is also held against those of the cells that it visits (see `cells`); of a cluster of near pairs the
row that stays is chosen by a stated rule, not by its distance from the centroid.
Tolerance: vectors are held as float16, so that a cosine is off by some 1e-4; a pair that close to the threshold may be
on either side of it. How many pairs cells hide is measured against brute force by `pair_recall`.
Cost: n (m + v) d multiplications, m rows a cell and v visits; 2 d + 13 bytes a row of the group, and two tiles.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON
from raypipe.select.dedup.clusters import clusters_of
from raypipe.select.dedup.shared_keys import LINKS
from raypipe.select.dedup.text_keys import KEYS
from raypipe.select.dedup.unit_vectors import unit_vectors

TILE = 1024
"""Rows held against as many others at a time."""
MAX_LINKS = 1_000_000
"""Links of a cell that are held before they are brought down to one a row."""
GROW = 1.125


def row_bytes(n_dimensions: int) -> int:
    """What a row of a cell takes."""
    return 2 * n_dimensions + 13


@dataclass
class _Held:
    """Vectors of a group, in memory that grows without being copied twice."""

    X: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    n: int = 0
    rows: list[np.ndarray] = field(default_factory=list)
    cells: list[np.ndarray] = field(default_factory=list)
    at: list[np.ndarray] = field(default_factory=list)
    is_home: list[np.ndarray] = field(default_factory=list)

    def add(self, X: np.ndarray, rows: np.ndarray) -> None:
        """Hold the vectors of rows."""
        if not self.n:
            self.X = np.zeros((len(X), X.shape[1]), np.float16)
        if self.n + len(X) > len(self.X):
            self.X.resize((int(GROW * (self.n + len(X))), X.shape[1]), refcheck=False)
        self.X[self.n : self.n + len(X)] = X
        self.n += len(X)
        self.rows.append(rows)


@dataclass
class NearVectors:
    """Linker: rows whose vectors have a cosine of at least `min_cosine`, each with the lowest that it is joined to.

    Groups are of cells; a row is held in each group that has a cell of it.
    """

    column: str
    """Of vectors, `stage.column`."""
    stage: str
    """Of cells."""
    min_cosine: float = 0.95
    group_of: np.ndarray | None = field(default=None, repr=False)
    """The group of each cell [k]; None: there is one."""
    digest: str = ""
    """Of `group_of`."""
    group: int = 0
    n_groups: int = 1
    _held: _Held = field(default_factory=_Held, init=False, repr=False, compare=False)

    version: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Cells and vectors."""
        return (f"{self.stage}.{KEYS}", self.column)

    def update(self, table: pa.Table, first_row: int) -> None:
        """Take in the rows that are at home in a cell of this group, or visit one."""
        usable = np.flatnonzero(pc.is_null(table[REASON]).to_numpy())
        lists = table[self.reads[0]].take(pa.array(usable)).combine_chunks()
        cells = lists.flatten().to_numpy(zero_copy_only=False)
        owner = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        is_home = np.ones(len(cells), bool)
        is_home[1:] = owner[1:] != owner[:-1]
        mine = np.ones(len(cells), bool) if self.group_of is None else self.group_of[cells] == self.group
        rows, at = np.unique(owner[mine], return_inverse=True)
        if not len(rows):
            return
        held = self._held
        held.cells.append(cells[mine])
        held.at.append(held.n + at)
        held.is_home.append(is_home[mine])
        X, _ = unit_vectors(table[self.column].take(pa.array(usable[rows])))
        held.add(X.astype(np.float16), first_row + usable[rows])

    def result(self) -> pa.Table:
        """LINKS, by row."""
        rows, found = np.concatenate([*self._held.rows, np.zeros(0, np.int64)]), [np.zeros((2, 0), np.int64)]
        for home, visiting in self._cells():
            found.append(_linked(self._pairs_of(home, visiting)))
        links = np.unique(np.concatenate(found, axis=1), axis=1)
        pairs = np.sort(rows[links], axis=0) if len(rows) else links
        order = np.lexsort((pairs[0], pairs[1]))
        return pa.table([pa.array(pairs[1][order]), pa.array(pairs[0][order])], schema=LINKS)

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Every pair that is found, maybe twice, some at a time: rows [p], rows [p] and cosines [p]."""
        rows = np.concatenate([*self._held.rows, np.zeros(0, np.int64)])
        for home, visiting in self._cells():
            for one, other, cosine in self._pairs_of(home, visiting):
                yield rows[one], rows[other], cosine

    def _cells(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Of each cell the vectors at home in it, and those that visit it."""
        held = self._held
        if not held.n:
            return
        cells, at, is_home = (np.concatenate(parts) for parts in (held.cells, held.at, held.is_home))
        order = np.lexsort((at, ~is_home, cells))
        cells, at, is_home = cells[order], at[order], is_home[order]
        starts = np.flatnonzero(np.append(True, cells[1:] != cells[:-1]))
        for start, stop in zip(starts, np.append(starts[1:], len(cells)), strict=True):
            n_home = int(is_home[start:stop].sum())
            yield at[start : start + n_home], at[start + n_home : stop]

    def _pairs_of(self, home: np.ndarray, visiting: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        X, both = self._held.X, np.concatenate([home, visiting])
        for start in range(0, len(home), TILE):
            one = X[home[start : start + TILE]].astype(np.float32)
            for begin in range(start, len(both), TILE):  # those at home before `start` have had their turn
                other = X[both[begin : begin + TILE]].astype(np.float32)
                cosines = one @ other.T  # [TILE, TILE]
                left, right = np.nonzero(cosines >= self.min_cosine)
                is_later = right + begin > left + start
                left, right = left[is_later], right[is_later]
                if len(left):
                    yield home[start + left], both[begin + right], cosines[left, right]


def _linked(pairs: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
    """Links [2, m], each from a vector to the lowest that pairs join it to: no more than there are vectors."""
    found, n = list[np.ndarray](), 0
    for one, other, _ in pairs:
        found.append(np.stack([one, other]))
        n += len(one)
        if n > MAX_LINKS:
            found, n = [_reduced(found)], 0
    return _reduced(found)


def _reduced(links: list[np.ndarray]) -> np.ndarray:
    both = np.concatenate([*links, np.zeros((2, 0), np.int64)], axis=1)
    clusters = clusters_of(both[0], both[1])
    is_later = clusters.rows != clusters.cluster
    return np.stack([clusters.rows[is_later], clusters.cluster[is_later]])
