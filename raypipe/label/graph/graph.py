"""A graph of named nodes from triples: neighbours ranked against hubs, propagation over edges, shuffled edges.

Source: J. Chen et al., Zero-shot and Few-shot Learning with Knowledge Graphs, Proceedings of the IEEE 2023 (its
abstract); neighbours by hits of random walks, N. Nayak and S. Bach, Zero-Shot Learning with Common Sense Knowledge
Graphs, TMLR 2022, section 4; shuffled edges, S. Maslov and K. Sneppen, Science 2002.
Departures: hits of walks of one and two steps are computed, not drawn, and divided by the node's degree: a hub is
everybody's neighbour. Relations and directions are passed over.
Cost: O(edges) for the matrices; O(degree^2) for the neighbours of a node.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.sparse import coo_array, csr_array, eye_array


@dataclass(frozen=True, eq=False)
class ClassGraph:
    """Nodes by name, and undirected edges between them, each once and none to itself."""

    names: tuple[str, ...]
    edges: np.ndarray
    """[e, 2] numbers of nodes."""

    @classmethod
    def of(cls, triples: Iterable[Sequence[str]]) -> Self:
        """From triples of head, relation and tail, or pairs of nodes.

        Raises
        ------
        ValueError
            If a row is neither, or there is no edge between two nodes.
        """
        pairs = []
        for one in triples:
            if len(one) not in (2, 3) or not all(isinstance(part, str) and part.strip() for part in one):
                raise ValueError(f"a triple must be head, relation and tail (or head and tail) in words, got {one!r}.")
            pairs.append((one[0], one[-1]))
        ends = np.array([pair for pair in pairs if pair[0] != pair[1]], object).reshape(-1, 2)
        if not len(ends):
            raise ValueError("a graph must have an edge between two nodes at least, got none; see the triples.")
        names, at = np.unique(ends.astype(str), return_inverse=True)
        return cls(tuple(names.tolist()), np.unique(np.sort(at.reshape(-1, 2), axis=1), axis=0))

    def numbers(self, nodes: Sequence[str]) -> np.ndarray:
        """The numbers [k] of nodes by name.

        Raises
        ------
        ValueError
            If one isn't there, with the nearest name.
        """
        from difflib import get_close_matches

        place = {name: number for number, name in enumerate(self.names)}
        for node in nodes:
            if node not in place:
                near = get_close_matches(node, self.names, n=1, cutoff=0.0)
                raise ValueError(
                    f"every class must be a node of the graph, {node!r} is none; the nearest is {near[0]!r}."
                )
        return np.array([place[node] for node in nodes], int)

    @property
    def adjacency(self) -> csr_array:
        """[n, n], symmetric, without self loops."""
        a, b = self.edges.T
        ones = np.ones(2 * len(self.edges))
        n = len(self.names)
        return coo_array((ones, (np.append(a, b), np.append(b, a))), shape=(n, n)).tocsr()

    def propagation(self) -> csr_array:
        """D^-1 (A + I): each node becomes the mean of itself and its neighbours."""
        looped = (self.adjacency + eye_array(len(self.names))).tocsr()
        return (_diagonal(1 / looped.sum(axis=1)) @ looped).tocsr()

    def neighbours(self, node: int, *, at_most: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of a node's neighbours within two steps, and their weights, highest first, ties by name."""
        A = self.adjacency
        degree = np.maximum(A.sum(axis=1), 1)
        step = _diagonal(1 / degree) @ A
        once = step[[node]]
        hits = np.asarray((once + once @ step).todense()).ravel() / degree
        hits[node] = 0
        order = np.lexsort((np.arange(len(hits)), -hits))[:at_most]
        kept = order[hits[order] > 0]
        return kept, hits[kept]

    def shuffled(self, seed: int) -> Self:
        """The same degrees with other neighbours: ends of random pairs of edges are swapped, ten times an edge."""
        rng, edges = np.random.default_rng(seed), self.edges.tolist()
        there = set(map(tuple, edges))
        for _ in range(10 * len(edges)):
            i, j = (int(one) for one in rng.integers(len(edges), size=2))
            (a, b), (c, d) = edges[i], edges[j]
            if rng.random() < 0.5:
                c, d = d, c
            first, second = (min(a, d), max(a, d)), (min(c, b), max(c, b))
            if a == d or c == b or first in there or second in there or first == second:
                continue
            there -= {tuple(edges[i]), tuple(edges[j])}
            there |= {first, second}
            edges[i], edges[j] = list(first), list(second)
        return type(self)(self.names, np.array(sorted(there)))


def _diagonal(values: np.ndarray) -> csr_array:
    n = len(values)
    return csr_array((np.asarray(values, np.float64), (np.arange(n), np.arange(n))), shape=(n, n))
