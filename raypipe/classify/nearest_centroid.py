"""Nearest centroid: a row has the class whose mean vector is nearest; the squared distances give the probabilities.

Source: R. Tibshirani et al., Diagnosis of multiple cancer types by shrunken centroids of gene expression, PNAS 2002,
the rule without shrinkage; the probabilities are its equation 9 with one spread for all features and equal priors.
Departures: rows may be brought to length 1 first, so that the distance is the cosine's; sums of each class are kept, so
that fits on parts of the rows can be merged.
Cost: O(n d) to fit, O(n k d) to predict; memory beside the rows O(n k).
"""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state


class NearestCentroid(ClassifierMixin, BaseEstimator):
    """A classifier by the means of its classes.

    >>> import numpy as np
    >>> X, y = np.array([[0.0], [2.0], [10.0], [12.0]]), np.array(["low", "low", "high", "high"])
    >>> model = NearestCentroid().fit(X, y)
    >>> model.predict(np.array([[3.0], [8.0]])).tolist()
    ['low', 'high']
    """

    classes_: np.ndarray
    sums_: np.ndarray
    counts_: np.ndarray
    square_sum_: float
    n_features_in_: int

    def __init__(self, *, normalise: bool = False) -> None:
        """`normalise`: bring each row to length 1 first; a row of zeros stays."""
        self.normalise = normalise

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn the means from rows [n, d] and classes [n]; what was learned before is forgotten.

        Raises
        ------
        ValueError
            If a number isn't finite, or there is no row.
        """
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        return self.partial_fit(X, y)

    def partial_fit(self, X: np.ndarray, y: np.ndarray, classes: np.ndarray | None = None) -> Self:
        """Learn from more rows; `classes` may name those that are to come."""
        X, y = validate_data(self, X, y, dtype=np.float64, reset=not hasattr(self, "classes_"))
        check_classification_targets(y)
        X = self._scaled(X)
        names = np.unique(y if classes is None else np.concatenate([y, np.asarray(classes)]))
        at = np.searchsorted(names, y)
        sums, counts = np.zeros((len(names), X.shape[1])), np.bincount(at, minlength=len(names)).astype(np.int64)
        np.add.at(sums, at, X)
        self._take(names, sums, counts, float((X**2).sum()))
        return self

    def merge(self, other: Self) -> Self:
        """Take in what another has learned of other rows."""
        check_is_fitted(other)
        self._take(other.classes_, other.sums_, other.counts_, other.square_sum_)
        self.n_features_in_ = other.n_features_in_
        return self

    def _take(self, names: np.ndarray, sums: np.ndarray, counts: np.ndarray, square_sum: float) -> None:
        before = getattr(self, "classes_", names[:0])
        every = np.unique(np.concatenate([before, names]))
        total, number = np.zeros((len(every), sums.shape[1])), np.zeros(len(every), np.int64)
        for of, s, c in ((before, getattr(self, "sums_", None), getattr(self, "counts_", None)), (names, sums, counts)):
            at = np.searchsorted(every, of)
            if s is not None and c is not None:
                total[at] += s
                number[at] += c
        self.classes_, self.sums_, self.counts_ = every, total, number
        self.square_sum_ = getattr(self, "square_sum_", 0.0) + square_sum

    @property
    def centroids_(self) -> np.ndarray:
        """Mean of each class that has rows: [k, d]; of one without, NaN."""
        check_is_fitted(self)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: np.ndarray = self.sums_ / self.counts_[:, None]
        return found

    def _spread(self) -> float:
        """Variance of a feature within its class, pooled over features and classes; 1 where rows are their means."""
        n = int(self.counts_.sum())
        within = self.square_sum_ - float(np.nansum(self.counts_[:, None] * self.centroids_**2))
        freedom = max(1, n - int((self.counts_ > 0).sum())) * self.n_features_in_
        return within / freedom if within > 1e-12 * max(1.0, self.square_sum_) else 1.0

    def _distances(self, X: np.ndarray) -> np.ndarray:
        """Squared distances [n, k], infinite to a class without rows."""
        check_is_fitted(self)
        X = self._scaled(validate_data(self, X, dtype=np.float64, reset=False))
        centroids: np.ndarray = np.nan_to_num(self.centroids_)
        gaps = (X**2).sum(1)[:, None] - 2 * X @ centroids.T + (centroids**2).sum(1)
        found: np.ndarray = np.where(self.counts_ > 0, np.maximum(gaps, 0.0), np.inf)
        return found

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        if not self.normalise:
            return X
        lengths = np.linalg.norm(X, axis=1, keepdims=True)
        found: np.ndarray = np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 0)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The nearest class of each row: [n, d] -> [n]; of equally near ones the first."""
        nearest = self._distances(X).argmin(axis=1)
        found: np.ndarray = self.classes_[nearest]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k] of normal classes of one spread and equal priors."""
        logits = -self._distances(X) / (2 * self._spread())
        logits -= logits.max(axis=1, keepdims=True)  # exp() can't overflow; the ratios are unchanged
        weights = np.exp(logits)
        found: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: minus the squared distance to the nearest mean, [n, d] -> [n]; higher is more."""
        found: np.ndarray = -self._distances(X).min(axis=1)
        return found

    def state(self) -> State:
        """What was learned: sums, counts, names of the classes."""
        check_is_fitted(self)
        return {
            **classes_state(self.classes_),
            "sums": self.sums_,
            "counts": self.counts_,
            "square_sum": np.array([self.square_sum_]),
        }

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_ = classes_of(state)
        made.sums_, made.counts_ = state["sums"], state["counts"]
        made.square_sum_, made.n_features_in_ = float(state["square_sum"][0]), state["sums"].shape[1]
        return made
