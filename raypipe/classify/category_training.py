"""Training of category queries: which classes a batch keeps, what its loss does to vectors and selector, and Adam.

Source: Z. Sun et al., CQ-DINO, NeurIPS 2025, arXiv 2503.18430; D. Kingma and J. Ba, Adam, ICLR 2015. See
category_queries.
Cost: O(b C d) a step; [b, C] float32.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit

from raypipe.classify.asymmetric_loss import asymmetric_loss, gradient_ratio
from raypipe.classify.category_relations import counted

Guide = Literal["vectors", "rows", "names"]
Relations = Literal["none", "tree", "attention"]
START = -4.6
"""Of the bias: every class is 1 % likely."""


class QueryWeights(NamedTuple):
    """What training moves."""

    queries: np.ndarray
    """[C, d]"""
    bias: np.ndarray
    """[C]: a class that is seldom right among those kept is held down by this, not by turning its vector away."""
    selector: np.ndarray
    """[d, d]: of rows, before they meet class vectors."""
    selector_bias: np.ndarray
    """[1]"""


@dataclass(frozen=True)
class QueryTraining:
    """What stays the same over all steps."""

    names: np.ndarray
    """[C, d] float32, as the class vectors start."""
    relate: np.ndarray | None
    """[C, C]: what classes take from one another; None: nothing."""
    above: np.ndarray | None
    """[C, C] bool, ancestors of each class; None: there is no hierarchy."""
    guide: Guide
    n_kept: int
    keep_own: bool

    def vectors(self, weights: QueryWeights) -> np.ndarray:
        """Of the classes, related: [C, d]."""
        found: np.ndarray = weights.queries
        return found if self.relate is None else (self.relate @ found).astype(np.float32)

    def slopes(self, weights: QueryWeights, X: np.ndarray, targets: np.ndarray) -> tuple[QueryWeights, float]:
        """Slopes of the loss of a batch [b, d] with targets [b, C], and its gradient ratio."""
        vectors = self.vectors(weights)
        products = X @ vectors.T
        logits = products + weights.bias
        counts = None if self.above is None else counted(targets, self.above)
        chosen_by, found = self._chosen_by(weights, X, targets, products, vectors, counts)
        kept = highest(np.where(targets, np.inf, chosen_by) if self.keep_own else chosen_by, self.n_kept)
        own = np.take_along_axis(targets, kept, 1)
        slope = expit(np.take_along_axis(logits, kept, 1)) - own  # of binary cross-entropy
        if counts is not None:
            slope = slope * np.take_along_axis(counts, kept, 1)
        whole = np.zeros_like(logits)
        np.put_along_axis(whole, kept, (slope / len(X)).astype(whole.dtype), 1)
        to_vectors = whole.T @ X
        queries = to_vectors if self.relate is None else self.relate.T @ to_vectors
        return found._replace(queries=queries, bias=whole.sum(axis=0)), gradient_ratio(slope, own)

    def _chosen_by(
        self, weights: QueryWeights, X: np.ndarray, targets: np.ndarray, products: np.ndarray, vectors: np.ndarray,
        counts: np.ndarray | None,
    ) -> tuple[np.ndarray, QueryWeights]:  # fmt: skip
        """Scores [b, C] that pick the kept classes, and slopes of the selector where it learns; class vectors don't.

        Without the bias of classes: it says how often a class is right among those kept, not which a row is like.
        """
        still = QueryWeights(*(np.zeros_like(one) for one in weights))
        if self.guide == "vectors":
            return products, still
        if self.guide == "names":
            return X @ self.names.T, still
        scores = X @ weights.selector @ vectors.T + weights.selector_bias
        slope = (asymmetric_loss(scores, targets, counted=counts)[1] / len(X)).astype(np.float32)
        return scores, still._replace(selector=X.T @ (slope @ vectors), selector_bias=slope.sum(keepdims=True)[0])


def highest(scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the k highest of each row, in order of place: [n, C] -> [n, min(k, C)]."""
    n, c = scores.shape
    if k >= c:
        return np.broadcast_to(np.arange(c), (n, c))
    return np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)


def adam(weights: QueryWeights, learning_rate: float) -> Callable[[QueryWeights], None]:
    """Adam: a function that moves the weights, in place, down slopes."""
    first, second = ([np.zeros_like(one) for one in weights] for _ in range(2))
    n = 0

    def step(slopes: QueryWeights) -> None:
        """One more."""
        nonlocal n
        n += 1
        for weight, slope, m, v in zip(weights, slopes, first, second, strict=True):
            m += 0.1 * (slope - m)
            v += 0.001 * (slope**2 - v)
            weight -= learning_rate * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)

    return step
