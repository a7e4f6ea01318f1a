"""Class vectors from a graph: a class's name and its neighbours' names, or a small network trained on seen classes.

Source: N. Nayak and S. Bach, TMLR 2022 (ZSL-KG), section 4, for the trained network in its joint form with mean
aggregation; T. Kipf and M. Welling, ICLR 2017, equation 2, for its layer, with D^-1 A as in SGCN; the training-free
mean is a baseline of ours.
Departures: what the network gives is added to the name's vector; it starts as the mean of the neighbours' names on
their principal axes (each with both signs, which ReLU needs), and leaving that start costs: trained on few classes from
a random start it loses to no training. Minimised by L-BFGS with the exact gradient; nothing is drawn.
Cost: O(edges d) for the mean; O(edges d + nodes d h) an iteration for h hidden numbers.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import logsumexp

from raypipe.label.graph.graph import ClassGraph
from raypipe.label.label_vectors import at_length_one

SHARPNESS = 20.0
"""By which cosines are multiplied before the softmax."""


def neighbour_means(
    graph: ClassGraph, names: np.ndarray, nodes: np.ndarray, *, own: float = 0.5, at_most: int = 20
) -> np.ndarray:
    """Vectors [k, d] of the classes at these nodes [k] from vectors of all nodes' names [n, d].

    `own`: the share of the class's own name; 1 is the name alone, and so is a class without neighbours.

    Raises
    ------
    ValueError
        If the share is none, no neighbour is asked for, or there are other than as many names as nodes.
    """
    if not 0 <= own <= 1 or at_most < 1:
        raise ValueError(f"own must be a share from 0 to 1 and at_most 1 or more, got {own} and {at_most}.")
    if len(names) != len(graph.names):
        raise ValueError(f"names must have a vector for each of the {len(graph.names)} nodes, got {len(names)}.")
    unit, found = at_length_one(names), []
    for node in nodes:
        beside, weights = graph.neighbours(int(node), at_most=at_most)
        mean = weights @ unit[beside] if len(beside) else unit[node]
        found.append(own * unit[node] + (1 - own) * at_length_one(mean[None])[0])
    return at_length_one(np.stack(found))


class GraphNetwork:
    """Two layers over a graph: vectors of seen classes that tell their rows apart, and by its edges of all others."""

    def __init__(self, *, hidden: int = 64, penalty: float = 1e-2, max_iterations: int = 100) -> None:
        """`hidden`: at most twice the dimensions. `penalty`: of the squared way of the weights from their start."""
        self.hidden = hidden
        self.penalty = penalty
        self.max_iterations = max_iterations

    def fit(self, graph: ClassGraph, names: np.ndarray, X: np.ndarray, y: np.ndarray) -> "GraphNetwork":
        """Learn from rows [n, d] of the classes at nodes [n], and vectors of all nodes' names [nodes, d]."""
        seen, at = np.unique(y, return_inverse=True)
        start = _start(at_length_one(names), self.hidden)
        spread, unit = graph.propagation(), at_length_one(X)
        given = _Given(spread @ at_length_one(names), spread[seen], at_length_one(names)[seen], unit, at)
        found = minimize(
            given.objective, start.copy(), args=(start, self.hidden, self.penalty), jac=True, method="L-BFGS-B",
            options={"maxiter": self.max_iterations},
        )  # fmt: skip
        self.weights_ = _cut(found.x, names.shape[1], self.hidden)
        return self

    def vectors(self, graph: ClassGraph, names: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """Vectors [k, d] of the classes at these nodes, which may be of another graph than it learned from."""
        spread, unit = graph.propagation(), at_length_one(names)
        first = hidden_layer(spread, unit, self.weights_[0])
        return at_length_one(unit[nodes] + spread[nodes] @ first @ self.weights_[1])


def hidden_layer(spread: csr_array, X: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """act(A X W): a layer of the network."""
    found: np.ndarray = np.maximum(spread @ X @ weights, 0)
    return found


class _Given:
    """What the objective is of: A X0 [n, d], rows of A of seen classes, their names' vectors, and labelled rows."""

    def __init__(
        self, spread_names: np.ndarray, of_seen: csr_array, own: np.ndarray, X: np.ndarray, at: np.ndarray
    ) -> None:
        self.spread_names, self.of_seen, self.own, self.X, self.at = spread_names, of_seen, own, X, at

    def objective(self, flat: np.ndarray, start: np.ndarray, hidden: int, penalty: float) -> tuple[float, np.ndarray]:
        """Cross-entropy over the seen classes with the penalty, and its gradient."""
        W1, W2 = _cut(flat, self.own.shape[1], hidden)
        before = self.spread_names @ W1
        mixed = self.of_seen @ np.maximum(before, 0)  # [k, h]
        Z = self.own + mixed @ W2
        logits = SHARPNESS * self.X @ Z.T
        log_share = logits - logsumexp(logits, axis=1, keepdims=True)
        n = len(self.at)
        loss = -log_share[np.arange(n), self.at].mean() + penalty * float((flat - start) @ (flat - start)) / 2
        slope = np.exp(log_share)
        slope[np.arange(n), self.at] -= 1
        by_Z = SHARPNESS / n * slope.T @ self.X
        by_before = (self.of_seen.T @ (by_Z @ W2.T)) * (before > 0)
        gradient = [self.spread_names.T @ by_before, mixed.T @ by_Z]
        return loss, np.concatenate([one.ravel() for one in gradient]) + penalty * (flat - start)


def _start(names: np.ndarray, hidden: int) -> np.ndarray:
    """Weights of a network that gives the mean of the neighbours [n, d] on the first axes of their names.

    Raises
    ------
    ValueError
        If there are no hidden numbers for an axis, or more than there are axes.
    """
    d = names.shape[1]
    if not 2 <= hidden <= 2 * d or hidden % 2:
        raise ValueError(f"hidden must be even, from 2 to twice the {d} dimensions, got {hidden}.")
    axes = np.linalg.eigh(names.T @ names)[1][:, ::-1][:, : hidden // 2]  # [d, h / 2]
    return np.concatenate([np.hstack([axes, -axes]).ravel(), np.vstack([axes.T, -axes.T]).ravel()])


def _cut(flat: np.ndarray, d: int, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    return flat[: d * hidden].reshape(d, hidden), flat[d * hidden :].reshape(hidden, d)
