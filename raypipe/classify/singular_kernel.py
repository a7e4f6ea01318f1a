"""Singular-kernel classifier: labels summed with weights 1 / distance^alpha, what an infinitely deep network comes to.

A fully connected network that is infinitely wide and infinitely deep is, by its activation alone, the nearest
neighbour, the majority, or this; with alpha the dimension that the data lie in it comes to the least error there is.
Source: A. Radhakrishnan, M. Belkin, C. Uhler, Wide and Deep Neural Networks Achieve Optimality for Classification,
arXiv 2204.14126, PNAS 2023: theorem on the three limits, alpha = -4 log A' / log B', the activation that gives alpha =
d; the estimate is that of L. Devroye, L. Györfi, A. Krzyżak, The Hilbert Kernel Regression Estimate, J. Multivariate
Analysis 65, 1998. The dimension: E. Levina and P. Bickel, NIPS 2004, averaged as D. MacKay and Z. Ghahramani say.
Departures: alpha None is an estimate of the data's own dimension, not the sphere's: with the sphere's of embeddings it
is the nearest neighbour. Rows at no distance decide alone. Probabilities are the shares of the weights.
Cost: all rows are kept; O(n d) for each row asked about, 512 at a time against all.
"""

from collections.abc import Callable, Iterator
from typing import Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

CHUNK, MAX_SAMPLE = 512, 1000
SAME = 1e-12
"""Rows nearer than this are the same."""
CLOSE = 1e-4
"""Squared distances below this are computed anew from the differences: products have lost their digits."""
Dual = Callable[[np.ndarray], np.ndarray]


def optimal_dual(dimension: int) -> Dual:
    """The dual activation whose deep limit has alpha = dimension of the sphere.

    Raises
    ------
    ValueError
        If it is below 1.
    """
    if dimension < 1:
        raise ValueError(f"dimension must be at least 1, got {dimension}.")
    if dimension == 1:
        return lambda t: (1 + (t * t) * (t * t) * (t * t)) * t / 2  # t^7; powers of arrays are slow
    s = 2.0 ** (-dimension / 2)
    return lambda t: t * (s + t * (1 - 2 * s + s * t))


def deep_kernel(t: np.ndarray, dual: Dual, *, depth: int) -> np.ndarray:
    """The kernel (NNGP) of `depth` layers at inner products t in [0, 1]; not normalised."""
    for _ in range(depth):
        t = dual(t)
    return t


def deep_limit(a: float, a1: float, b1: float) -> float | Literal["majority", "nearest neighbour"]:
    """What infinite depth comes to, of E[phi], E[phi'] and E[phi'^2]: alpha, or one of the other two.

    Raises
    ------
    ValueError
        If neither the mean nor the slope vanishes and E[phi'^2] isn't above 1: the paper doesn't speak of it.
    """
    if a != 0:
        return "majority"
    if a1 == 0:
        return "nearest neighbour"
    if b1 <= 1:
        raise ValueError(f"E[phi'^2] must be above 1 where E[phi] is 0, got {b1}.")
    return float(-4 * np.log(abs(a1)) / np.log(b1))


def intrinsic_dimension(X: np.ndarray, *, n_neighbours: int = 10) -> float:
    """How many dimensions rows [n, d] lie in, by how distances to near rows grow; at least 1, and at most d.

    Of more than MAX_SAMPLE rows so many are looked at, whatever the order of the rows. Repeated rows count once.
    """
    X = np.unique(X, axis=0)
    k = min(n_neighbours, len(X) - 1)
    if k < 2:
        return 1.0
    rows = X[np.unique(np.linspace(0, len(X) - 1, min(len(X), MAX_SAMPLE)).astype(int))]
    near = np.concatenate([np.sort(r, axis=1)[:, 1 : k + 1] for r in _distances(rows, X)])
    inverse = np.log(near[:, -1:] / near[:, :-1]).sum(axis=1) / max(k - 2, 1)
    mean = float(inverse.mean())
    return float(np.clip(1 / mean if mean > 0 else X.shape[1], 1.0, X.shape[1]))


def _distances(rows: np.ndarray, X: np.ndarray) -> Iterator[np.ndarray]:
    """[c, n] of a chunk of rows after the other."""
    squares = (X**2).sum(axis=1)
    for start in range(0, len(rows), CHUNK):
        own = rows[start : start + CHUNK]
        found = np.maximum((own**2).sum(axis=1)[:, None] + squares - 2 * own @ X.T, 0.0)
        close = found < CLOSE * np.maximum(squares, SAME)
        for at in np.flatnonzero(close.any(axis=1)):  # a row at a time: all of them may be close
            found[at, close[at]] = ((own[at] - X[close[at]]) ** 2).sum(axis=1)
        yield np.sqrt(found)


class SingularKernel(ClassifierMixin, BaseEstimator):
    """A classifier without training: all rows vote, the near ones with far more weight.

    >>> import numpy as np
    >>> X, y = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array(["x", "x", "y"])
    >>> model = SingularKernel().fit(X, y)
    >>> model.predict(np.array([[1.0, 0.2], [0.1, 1.0]])).tolist()
    ['x', 'y']
    """

    classes_: np.ndarray
    rows_: np.ndarray
    """[n, d], as they are compared."""
    y_: np.ndarray
    """[n] places in classes_."""
    alpha_: float
    n_features_in_: int

    def __init__(self, *, alpha: float | None = None, normalise: bool = True) -> None:
        """`alpha`: of the weights, None: the rows' dimension; `normalise`: compare directions, as the paper does."""
        self.alpha = alpha
        self.normalise = normalise

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Keep rows [n, d] and classes [n].

        Raises
        ------
        ValueError
            If a number isn't finite, there is no row, or alpha isn't above 0.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if self.alpha is not None and not self.alpha > 0:
            raise ValueError(f"alpha must be above 0, got {self.alpha}.")
        self.classes_, self.y_ = np.unique(y, return_inverse=True)
        self.rows_ = self._scaled(X)
        self.alpha_ = intrinsic_dimension(self.rows_) if self.alpha is None else float(self.alpha)
        return self

    def merge(self, other: Self) -> Self:
        """Take in another's rows."""
        check_is_fitted(other)
        y = np.concatenate([self.classes_[self.y_], other.classes_[other.y_]])
        self.classes_, self.y_ = np.unique(y, return_inverse=True)
        self.rows_ = np.concatenate([self.rows_, other.rows_])
        self.alpha_ = intrinsic_dimension(self.rows_) if self.alpha is None else float(self.alpha)
        return self

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        if not self.normalise:
            return X
        lengths = np.linalg.norm(X, axis=1, keepdims=True)
        found: np.ndarray = np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 0)
        return found

    def _log_weights(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Logarithms of the weights [c, n] of a chunk: where a row is the same, 0, and -inf for all others."""
        check_is_fitted(self)
        for r in _distances(self._scaled(validate_data(self, X, dtype=np.float64, reset=False)), self.rows_):
            same = r < SAME
            weights = -self.alpha_ * np.log(np.maximum(r, SAME))
            yield np.where(same.any(axis=1, keepdims=True), np.where(same, 0.0, -np.inf), weights)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Shares of the weights [n, d] -> [n, k]."""
        of_class = np.eye(len(self.classes_))[self.y_] if hasattr(self, "y_") else None
        parts = [np.empty((0, 0 if of_class is None else of_class.shape[1]))]
        for weights in self._log_weights(X):
            top = weights.max(axis=1, keepdims=True)  # exp() can't overflow; the shares are unchanged
            parts.append(np.exp(weights - top) @ of_class)
        found = np.concatenate(parts)
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class with the largest share: [n, d] -> [n]; of equal ones the first."""
        largest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[largest]
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: minus the logarithm of the distance to the nearest row, [n, d] -> [n]."""
        check_is_fitted(self)
        asked = self._scaled(validate_data(self, X, dtype=np.float64, reset=False))
        nearest = [r.min(axis=1) for r in _distances(asked, self.rows_)]
        found: np.ndarray = -np.log(np.maximum(np.concatenate([np.empty(0), *nearest]), SAME))
        return found

    def state(self) -> State:
        """All rows, their classes, alpha."""
        check_is_fitted(self)
        kept = {"rows": self.rows_, "y": self.y_, "alpha": np.array([self.alpha_])}
        return classes_state(self.classes_) | kept

    def from_state(self, state: State) -> Self:
        """One of the same settings that has these rows."""
        made = type(self)(**self.get_params())
        made.classes_, made.rows_, made.y_ = classes_of(state), state["rows"], state["y"]
        made.alpha_, made.n_features_in_ = float(state["alpha"][0]), made.rows_.shape[1]
        return made
