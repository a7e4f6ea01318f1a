"""One logistic regression a label, all of them learned at once: rows of one label each, or of any number.

What category queries are to be compared with, and often better where labels have dozens of rows: a label's regression
isn't drawn to its name, and sees every row.
Source: R. Rifkin and A. Klautau, In Defense of One-Vs-All Classification, JMLR 5, 2004; each label's loss as in
`logistic_regression`, with the penalty |w|^2 / (2 C).
Departures: features are brought to mean 0 and variance 1; the labels' losses, which share nothing, are added up and
brought down together by one L-BFGS, so that a step is two products of matrices and not C fits.
Cost: O(n d C) for each of at most `max_iter` iterations; memory [BLOCK, C] and 10 [d, C] float64.
"""

from collections.abc import Hashable, Sequence
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

BLOCK = 2048
"""Rows whose labels are worked off together."""


class OneVsAll(ClassifierMixin, BaseEstimator):
    """A sigmoid a label.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, labels = np.repeat(np.eye(3), 20, axis=0), [["a"], ["b"], ["a", "b"]]
    >>> model = OneVsAll().fit_many(X + rng.normal(size=(60, 3)) / 10, [labels[row // 20] for row in range(60)])
    >>> (model.probabilities(np.eye(3)) > 0.5).astype(int).tolist()
    [[1, 0], [0, 1], [1, 1]]
    """

    classes_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    n_iter_: int
    n_features_in_: int

    def __init__(self, *, C: float = 1.0, max_iter: int = 100) -> None:
        """`C`: the inverse of the penalty; `max_iter`: of the solver, at most."""
        self.C, self.max_iter = C, max_iter

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from rows [n, d] and classes [n].

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, or a setting is out of its range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if len(np.unique(y)) < 2:
            raise ValueError(f"OneVsAll needs two classes at least, got 1 class: {str(y[0])!r}.")
        self.classes_, at = np.unique(y, return_inverse=True)
        return self._fit(X, np.arange(len(X)), at)

    def fit_many(self, X: np.ndarray, labels: Sequence[Sequence[Hashable]]) -> Self:
        """Learn from rows [n, d] that have any number of labels each.

        Raises
        ------
        ValueError
            As `fit`; or if there aren't as many lists of labels as rows.
        """
        X = validate_data(self, X, dtype=np.float64)
        own = [label for of in labels for label in of]
        if len(labels) != len(X) or len(set(own)) < 2:
            raise ValueError(f"labels must be a list for each of {len(X)} rows, of two classes at least.")
        self.classes_, at = np.unique(np.array(own), return_inverse=True)
        return self._fit(X, np.repeat(np.arange(len(X)), [len(of) for of in labels]), at)

    def _fit(self, X: np.ndarray, rows: np.ndarray, at: np.ndarray) -> Self:
        if self.C <= 0 or self.max_iter < 1:
            raise ValueError(f"C must be above 0, max_iter at least 1, got {self.C} and {self.max_iter}.")
        self.mean_, self.scale_ = mean_and_scale(X)
        Z, shape = self._scaled(X), (X.shape[1] + 1, len(self.classes_))
        own = csr_array((np.ones(len(at)), (rows, at)), shape=(len(X), shape[1]))
        own.data[:] = 1.0  # a label that stands twice in a row's list is there once
        start = np.zeros(shape)
        share = np.clip(np.asarray(own.mean(axis=0)).ravel(), 1e-6, 1 - 1e-6)
        start[-1] = np.log(share / (1 - share))  # what the labels' shares say, before any feature
        solved = minimize(
            lambda flat: self._loss(flat.reshape(shape), Z, own), start.ravel(), jac=True, method="L-BFGS-B",
            options={"maxiter": self.max_iter},
        )  # fmt: skip
        found, self.n_iter_ = solved.x.reshape(shape), max(1, int(solved.nit))
        self.coef_, self.intercept_ = found[:-1].T.copy(), found[-1].copy()
        return self

    def _loss(self, weights: np.ndarray, Z: np.ndarray, own: csr_array) -> tuple[float, np.ndarray]:
        """Binary cross-entropy of all labels with the penalty on weights [d + 1, C], and its slope, flat."""
        loss = float((weights[:-1] ** 2).sum()) / (2 * self.C)
        slope = np.vstack([weights[:-1] / self.C, np.zeros((1, weights.shape[1]))])
        for begin in range(0, len(Z), BLOCK):
            part, truth = Z[begin : begin + BLOCK], own[begin : begin + BLOCK].toarray()
            logits = part @ weights[:-1] + weights[-1]
            loss += float(np.logaddexp(0.0, logits).sum() - (logits * truth).sum())
            gap = expit(logits) - truth
            slope[:-1] += part.T @ gap
            slope[-1] += gap.sum(axis=0)
        return loss, slope.ravel()

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        found: np.ndarray = (X - self.mean_) / self.scale_
        return found

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Of each class for itself, for rows of many labels: [n, d] -> [n, C]."""
        check_is_fitted(self)
        Z = self._scaled(validate_data(self, X, dtype=np.float64, reset=False))
        found: np.ndarray = expit(Z @ self.coef_.T + self.intercept_)
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """The same, divided by their sum: [n, d] -> [n, C]."""
        said = np.maximum(self.probabilities(X), 1e-300)  # a row that is of no class at all is of each alike
        found: np.ndarray = said / said.sum(axis=1, keepdims=True)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]; of equally likely ones the first."""
        likeliest = self.predict_proba(X).argmax(axis=1)  # first: it says what isn't fitted
        found: np.ndarray = self.classes_[likeliest]
        return found

    def state(self) -> State:
        """What was learned: names of the classes, scaling, weights."""
        check_is_fitted(self)
        learnt = {name: getattr(self, f"{name}_") for name in _ARRAYS}
        return classes_state(self.classes_) | learnt | {"n_iter": np.array([self.n_iter_])}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_ = classes_of(state)
        for name in _ARRAYS:
            setattr(made, f"{name}_", state[name])
        made.n_iter_, made.n_features_in_ = int(state["n_iter"][0]), len(made.mean_)
        return made


_ARRAYS = ("mean", "scale", "coef", "intercept")
