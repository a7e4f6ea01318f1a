"""Links between rows as clusters of rows that belong together, and which row of each cluster stays.

A cluster is a connected component: A and C are in one if both are linked to B. It goes by the number of its first row.
Cost: O(n) in links; about 60 bytes a link and 100 a row that has one.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Keep = Literal["first", "highest", "lowest"]
"""Which row of a cluster stays: the first in the order of the corpus, or that of the highest or lowest value."""


@dataclass(frozen=True)
class Clusters:
    """Rows that aren't alone, by their number in the order of the corpus."""

    rows: np.ndarray
    """[m] int64, rising"""
    cluster: np.ndarray
    """[m] int64, the first row of the cluster that each is in"""

    @property
    def sizes(self) -> np.ndarray:
        """[m] rows of the cluster that each is in."""
        _, of, counts = np.unique(self.cluster, return_inverse=True, return_counts=True)
        return np.asarray(counts[of])

    def kept(self, values: np.ndarray | None = None, *, keep: Keep = "first") -> np.ndarray:
        """The row of its cluster that stays, for each row [m].

        With `values` [m] float64 that of the highest or lowest; of equal ones, and where none is finite, the first.
        """
        if values is None or keep == "first":
            return self.cluster
        best = np.where(np.isfinite(values), values if keep == "highest" else -values, -np.inf)
        order = np.lexsort((self.rows, -best, self.cluster))
        starts = np.flatnonzero(np.append(True, np.diff(self.cluster[order]) != 0)) if len(order) else order
        found = np.empty_like(self.rows)
        found[order] = np.repeat(self.rows[order][starts], np.diff(np.append(starts, len(order))))
        return found


def clusters_of(rows: np.ndarray, others: np.ndarray) -> Clusters:
    """The clusters that links [e] between rows and others make; a row without a link is in none."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(rows):
        return Clusters(np.zeros(0, np.int64), np.zeros(0, np.int64))
    known, ends = np.unique(np.concatenate([rows, others]), return_inverse=True)
    left, right = ends[: len(rows)], ends[len(rows) :]
    graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(len(known), len(known)))
    _, label = connected_components(graph, directed=False)
    _, first = np.unique(label, return_index=True)  # rows rise, so the first of a label is its lowest
    return Clusters(known.astype(np.int64), known[first][label].astype(np.int64))
