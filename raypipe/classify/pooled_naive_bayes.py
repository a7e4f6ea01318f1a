"""Pooled naive Bayes: Gaussian classes with one variance a feature for all of them, learned by sums that add up.

The generative counterpart of logistic regression: both are linear, and this one needs far fewer rows to come near its
own best, which is the worse the more the features depend on each other.
Source: C. Zheng et al., Revisiting Discriminative vs. Generative Classifiers, ICML 2023, arXiv 2302.02334, section 3,
after A. Ng and M. Jordan, NIPS 2001; moments are merged as in T. Chan et al., Algorithms for Computing the Sample
Variance, The American Statistician 37, 1983.
Departures: 0.01 is added to each variance, of features brought to [0, 1], where the authors add 1e-9: a feature that is
nearly always 0 decides nothing then; a feature that never varies is left out.
Cost: one pass, O(n d); the state is 2 k d numbers.
"""

from typing import Self

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state


class PooledNaiveBayes(ClassifierMixin, BaseEstimator):
    """A linear classifier by the moments of its classes.

    >>> import numpy as np
    >>> X, y = np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 1, 1])
    >>> model = PooledNaiveBayes().fit(X, y)
    >>> model.predict(np.array([[2.0], [3.0]])).tolist()
    [0, 1]
    """

    classes_: np.ndarray
    counts_: np.ndarray
    means_: np.ndarray
    """[k, d]"""
    squares_: np.ndarray
    """[k, d]: squared deviations from the class's mean, summed."""
    low_: np.ndarray
    high_: np.ndarray
    n_features_in_: int

    def __init__(self, *, epsilon: float = 0.01) -> None:
        """`epsilon`: added to the variance of each feature, which is brought to [0, 1]; the authors' is 1e-9."""
        self.epsilon = epsilon

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn the moments of rows [n, d] and classes [n]; what was learned before is forgotten.

        Raises
        ------
        ValueError
            If a number isn't finite, there is no row, or epsilon isn't above 0.
        """
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        return self.partial_fit(X, y)

    def partial_fit(self, X: np.ndarray, y: np.ndarray, classes: np.ndarray | None = None) -> Self:
        """Learn from more rows; `classes` may name those that are to come."""
        X, y = validate_data(self, X, y, dtype=np.float64, reset=not hasattr(self, "classes_"))
        check_classification_targets(y)
        if not self.epsilon > 0:
            raise ValueError(f"epsilon must be above 0, got {self.epsilon}.")
        names = np.unique(y if classes is None else np.concatenate([y, np.asarray(classes)]))
        of = [X[y == name] for name in names]
        means = np.stack([rows.mean(axis=0) if len(rows) else np.zeros(X.shape[1]) for rows in of])
        squares = np.stack([((rows - mean) ** 2).sum(axis=0) for rows, mean in zip(of, means, strict=True)])
        self._take(names, np.array([len(rows) for rows in of]), means, squares, X.min(axis=0), X.max(axis=0))
        return self

    def merge(self, other: Self) -> Self:
        """Take in what another has learned of other rows."""
        check_is_fitted(other)
        self._take(other.classes_, other.counts_, other.means_, other.squares_, other.low_, other.high_)
        self.n_features_in_ = other.n_features_in_
        return self

    def _take(
        self, names: np.ndarray, counts: np.ndarray, means: np.ndarray, squares: np.ndarray, low: np.ndarray,
        high: np.ndarray,
    ) -> None:  # fmt: skip
        """Chan's formula, class by class."""
        d = means.shape[1]
        before = getattr(self, "classes_", names[:0])
        every = np.unique(np.concatenate([before, names]))
        n, mean, square = np.zeros(len(every)), np.zeros((len(every), d)), np.zeros((len(every), d))
        if len(before):
            at = np.searchsorted(every, before)
            n[at], mean[at], square[at] = self.counts_, self.means_, self.squares_
        at = np.searchsorted(every, names)
        total = n[at] + counts
        share = np.divide(counts, total, out=np.zeros(len(at)), where=total > 0)[:, None]
        gap = means - mean[at]
        square[at] += squares + gap**2 * (n[at][:, None] * share)
        mean[at] += gap * share
        n[at] = total
        self.low_ = low if not len(before) else np.minimum(self.low_, low)
        self.high_ = high if not len(before) else np.maximum(self.high_, high)
        self.classes_, self.counts_, self.means_, self.squares_ = every, n.astype(np.int64), mean, square

    def variances(self) -> np.ndarray:
        """Of each feature within its class, pooled, with epsilon: [d]; infinite where it never varies."""
        check_is_fitted(self)
        width = self.high_ - self.low_
        pooled = self.squares_.sum(axis=0) / self.counts_.sum() + self.epsilon * width**2
        found: np.ndarray = np.where(width > 0, pooled, np.inf)
        return found

    def linear(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights [k, d] and biases [k]: a row's class is the largest of X @ weights.T + biases."""
        middle, precision = self._middle(), 1 / self.variances()
        centred = self.means_ - middle
        biases = self._log_prior() - 0.5 * (centred**2 * precision).sum(axis=1)
        weights = centred * precision
        return weights, biases - weights @ middle

    def _middle(self) -> np.ndarray:
        """Mean of all rows; taken off first, so that a feature far from 0 loses no digits."""
        found: np.ndarray = (self.counts_ / self.counts_.sum()) @ self.means_
        return found

    def _log_prior(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            found: np.ndarray = np.log(self.counts_ / self.counts_.sum())
        return found

    def _scores(self, X: np.ndarray) -> np.ndarray:
        """Log of prior and density but for what all classes share: [n, d] -> [n, k]."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        weights, biases = self.linear()
        middle = self._middle()
        found: np.ndarray = (X - middle) @ weights.T + (biases + weights @ middle)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]."""
        likeliest = self._scores(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k]."""
        found: np.ndarray = softmax(self._scores(X), axis=1)
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: the logarithm of its density, [n, d] -> [n]; higher is more."""
        shared, variances = logsumexp(self._scores(X), axis=1), self.variances()
        varies = np.isfinite(variances)
        gaps = (np.asarray(X, np.float64) - self._middle())[:, varies] ** 2 / variances[varies]
        found: np.ndarray = shared - 0.5 * (gaps.sum(axis=1) + np.log(2 * np.pi * variances[varies]).sum())
        return found

    def state(self) -> State:
        """What was learned: names of the classes, counts, moments, ranges."""
        check_is_fitted(self)
        moments = {"counts": self.counts_, "means": self.means_, "squares": self.squares_}
        return classes_state(self.classes_) | moments | {"low": self.low_, "high": self.high_}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.counts_ = classes_of(state), state["counts"]
        made.means_, made.squares_ = state["means"], state["squares"]
        made.low_, made.high_, made.n_features_in_ = state["low"], state["high"], len(state["low"])
        return made
