"""Distances between labels: along a hierarchy or a graph, between vectors of their names, along a scale, or all alike.

Source: N. Roberts et al., Geometry-Aware Adaptation for Pretrained Models, NeurIPS 2023: which metrics a label space
may have; shortest paths as in E. Dijkstra, A Note on Two Problems in Connexion with Graphs, 1959, by scipy.
Cost: N shortest path searches for N labels; memory of an [N, N] matrix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelMetric:
    """Labels, sorted, and how far apart they are."""

    labels: np.ndarray
    """[N]"""
    distances: np.ndarray
    """[N, N] float64, symmetric, 0 on the diagonal."""

    def __post_init__(self) -> None:
        """Check the shape and the numbers.

        Raises
        ------
        ValueError
            If labels repeat or aren't sorted, or distances aren't finite, symmetric, at least 0 and 0 to oneself.
        """
        d, n = self.distances, len(self.labels)
        if not n or not np.array_equal(np.unique(self.labels), self.labels):
            raise ValueError(f"labels must be sorted, each once, got {n} labels.")
        if d.shape != (n, n) or not np.isfinite(d).all() or (d < 0).any() or np.diag(d).any():
            raise ValueError(f"distances must be finite [{n}, {n}], at least 0, 0 to oneself, got {d.shape}.")
        if not np.allclose(d, d.T):
            raise ValueError("distances must be the same both ways.")

    def positions(self, labels: np.ndarray) -> np.ndarray:
        """Where these labels stand: [k] -> [k].

        Raises
        ------
        ValueError
            If one is no label of the metric.
        """
        unknown = np.setdiff1d(labels, self.labels)
        if len(unknown):
            raise ValueError(f"classes must be labels of the metric, {str(unknown[0])!r} of {len(unknown)} is not.")
        return np.searchsorted(self.labels, labels)


def complete(labels: Sequence[object] | np.ndarray) -> LabelMetric:
    """Every two labels are 1 apart: nothing is known of them."""
    names = np.unique(np.asarray(labels))
    return LabelMetric(names, 1.0 - np.eye(len(names)))


def on_a_scale(values: Sequence[float] | np.ndarray) -> LabelMetric:
    """Numbers as labels, apart by their difference: ordinal bins."""
    numbers = np.unique(np.asarray(values, dtype=np.float64))
    return LabelMetric(numbers, np.abs(numbers[:, None] - numbers))


def numbered(words: Sequence[str]) -> LabelMetric:
    """Texts of numbers as labels, apart by their difference; labels stay texts.

    Raises
    ------
    ValueError
        If one isn't a finite number.
    """
    names = np.unique([word.strip() for word in words if word.strip()])
    try:
        values = np.array([float(name) for name in names])
    except ValueError as error:
        raise ValueError(f"labels on a scale must be numbers: {error}.") from None
    return LabelMetric(names, np.abs(values[:, None] - values))


def between_vectors(labels: Sequence[str] | np.ndarray, vectors: np.ndarray) -> LabelMetric:
    """Euclidean distance between the vectors [N, d] of labels [N], such as embeddings of their names."""
    from scipy.spatial.distance import cdist

    names = np.asarray(labels)
    order = np.argsort(names, kind="stable")
    rows = np.asarray(vectors, dtype=np.float64)[order]
    return LabelMetric(names[order], cdist(rows, rows))


def along_edges(edges: Sequence[Sequence[str]], lengths: Sequence[float] | None = None) -> LabelMetric:
    """Shortest paths in a graph of labels, given as pairs; every edge is 1 long, or as long as said (above 0).

    Raises
    ------
    ValueError
        If there is no edge, one isn't a pair, a length isn't above 0, or the graph falls apart.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    if not len(edges) or any(len(edge) != 2 for edge in edges):
        raise ValueError(f"edges must be pairs of labels, one at least, got {len(edges)} edges.")
    weights = np.ones(len(edges)) if lengths is None else np.asarray(lengths, dtype=np.float64)
    if len(weights) != len(edges) or not (weights > 0).all():
        raise ValueError(f"lengths must be above 0, one an edge, got {len(weights)} for {len(edges)} edges.")
    names, at = np.unique(np.asarray(edges), return_inverse=True)
    a, b = at.reshape(-1, 2).T
    shortest: dict[tuple[int, int], float] = {}
    for edge, length in zip(zip(a.tolist(), b.tolist(), strict=True), weights.tolist(), strict=True):
        shortest[edge] = min(length, shortest.get(edge, np.inf))  # a matrix would add up edges named twice
    rows, columns = np.array(list(shortest)).T
    graph = coo_array((np.array(list(shortest.values())), (rows, columns)), shape=(len(names), len(names)))
    found = dijkstra(graph.tocsr(), directed=False)
    if not np.isfinite(found).all():
        lost = names[~np.isfinite(found[0])][0]
        raise ValueError(f"labels must hang together, no path leads from {str(names[0])!r} to {str(lost)!r}.")
    return LabelMetric(names, found)


def pairs_of(edges: str) -> list[list[str]]:
    """Pairs of labels from words such as `cat>mammal;dog>mammal`.

    Raises
    ------
    ValueError
        If a word isn't two labels with `>` between.
    """
    pairs = [[label.strip() for label in word.split(">")] for word in edges.split(";") if word.strip()]
    if wrong := [pair for pair in pairs if len(pair) != 2 or not all(pair)]:
        raise ValueError(f"edges must be LABEL>LABEL, separated by semicolons, got {'>'.join(wrong[0])!r}.")
    return pairs


def hierarchy(parents: Mapping[str, str]) -> LabelMetric:
    """Steps up and down a tree that is given as child -> parent.

    Raises
    ------
    ValueError
        If a label is its own ancestor, or there is more than one root.
    """
    for start in parents:
        seen, at = {start}, start
        while at in parents:
            at = parents[at]
            if at in seen:
                raise ValueError(f"a hierarchy must have no cycle, {at!r} is its own ancestor.")
            seen.add(at)
    roots = sorted(set(parents.values()) - set(parents))
    if len(roots) != 1:
        raise ValueError(f"a hierarchy must have one root, got {len(roots)}: {', '.join(roots[:5])}.")
    return along_edges(list(parents.items()))
