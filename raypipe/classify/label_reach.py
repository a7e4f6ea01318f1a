"""Labels beyond a classifier's classes, answered from its probabilities and steps between labels.

Source: N. Roberts et al., NeurIPS 2023, arXiv 2307.12226, prediction by the Fréchet mean (see loki), for any
classifier that has been fitted already.
Cost: a shortest path search for each of K classes over N labels, once a process; O(n K N) to answer; [K, N] float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np

Edges = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LabelReach:
    """Labels next to each other, each pair a step apart; every label that a path leads to can be answered."""

    edges: Edges

    def identity(self) -> dict[str, str]:
        """The edges, by their hash."""
        return {"edges_sha256": sha256(repr(sorted(self.edges)).encode()).hexdigest()}

    def check(self, classes: Sequence[str]) -> None:
        """Refuse classes between which no path leads.

        Raises
        ------
        ValueError
            With the class.
        """
        _distances(self.edges, tuple(classes))

    def labels_of(self, probability: np.ndarray, classes: Sequence[str]) -> list[str]:
        """The label of least expected squared distance of each row [n, k]; of ties the first in order of name."""
        from raypipe.classify.loki import frechet_mean

        labels, distances = _distances(self.edges, tuple(classes))
        found: list[str] = labels[frechet_mean(probability, distances)].tolist()
        return found


@lru_cache(maxsize=2)
def _distances(edges: Edges, classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Labels [N] that hang together with the classes, sorted, and steps from each class: [k, N]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    if not edges:
        raise ValueError("edges must be pairs of labels, one at least, got none.")
    names, at = np.unique(np.asarray(edges), return_inverse=True)
    if unknown := sorted(set(classes) - set(names.tolist())):
        raise ValueError(f"edges must name every class of the classifier, {unknown[0]!r} is in none.")
    a, b = at.reshape(-1, 2).T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(names), len(names))).tocsr()
    graph.data[:] = 1.0  # an edge named twice is still a step
    steps = dijkstra(graph, directed=False, indices=np.searchsorted(names, classes))
    is_there = np.isfinite(steps[0])
    if not np.isfinite(steps[:, is_there]).all():
        lost = np.flatnonzero(~np.isfinite(steps[:, is_there]).all(axis=1))[0]
        raise ValueError(f"classes must hang together, no path leads from {classes[0]!r} to {classes[lost]!r}.")
    return names[is_there], steps[:, is_there]
