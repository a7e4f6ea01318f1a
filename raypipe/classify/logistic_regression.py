"""Logistic regression: classes by a linear function of the features, by scikit-learn's solver, stored as arrays.

Source: D. R. Cox, The Regression Analysis of Binary Sequences, JRSS B 20, 1958; k classes by the softmax of k linear
functions under a penalty of |W|^2 / (2 C) (C. Bishop, Pattern Recognition and Machine Learning, 2006, section 4.3.4).
Departures: features are brought to mean 0 and variance 1 first, so that one C suits columns of any unit; a single class
is refused.
Cost: O(n d k) for each of at most `max_iter` iterations of L-BFGS; memory O(n d).
"""

from typing import Self

import numpy as np
from scipy.special import softmax
from sklearn import linear_model
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state


def of_each_class(solver: linear_model.LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [k, d] and intercepts [k]: of two classes the solver knows one function, the first one's is 0."""
    coef, intercept = solver.coef_, solver.intercept_
    if len(coef) > 1:
        return coef, intercept
    return np.vstack([np.zeros_like(coef), coef]), np.array([0.0, intercept[0]])


class LogisticRegression(ClassifierMixin, BaseEstimator):
    """A linear classifier with probabilities.

    >>> import numpy as np
    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["no", "no", "yes", "yes"])
    >>> model = LogisticRegression().fit(X, y)
    >>> model.predict(X).tolist()
    ['no', 'no', 'yes', 'yes']
    >>> model.predict_proba(np.array([[1.5]])).round(3).tolist()
    [[0.5, 0.5]]
    """

    classes_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    n_iter_: int
    n_features_in_: int

    def __init__(self, *, C: float = 1.0, max_iter: int = 1000) -> None:
        """`C`: the inverse of the penalty; `max_iter`: of the solver, at most."""
        self.C = C
        self.max_iter = max_iter

    def fit(self, X: np.ndarray, y: np.ndarray, *, sample_weight: np.ndarray | None = None) -> Self:
        """Learn from rows [n, d] and classes [n]; a row of weight 2 counts as two.

        Raises
        ------
        ValueError
            If a number isn't finite, or there are fewer than two classes.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if len(np.unique(y)) < 2:
            raise ValueError(f"logistic regression needs two classes at least, got 1 class: {str(y[0])!r}.")
        self.mean_, self.scale_ = mean_and_scale(X, sample_weight)
        solver = linear_model.LogisticRegression(C=self.C, max_iter=self.max_iter)
        solver.fit(self._scaled(X), y, sample_weight=sample_weight)
        self.classes_, self.n_iter_ = solver.classes_, int(solver.n_iter_.max())
        self.coef_, self.intercept_ = of_each_class(solver)
        return self

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        found: np.ndarray = (X - self.mean_) / self.scale_
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k]."""
        check_is_fitted(self)
        X = self._scaled(validate_data(self, X, dtype=np.float64, reset=False))
        found: np.ndarray = softmax(X @ self.coef_.T + self.intercept_, axis=1)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]; of equally likely ones the first."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def state(self) -> State:
        """What was learned: names of the classes, scaling, weights."""
        check_is_fitted(self)
        learnt = {"mean": self.mean_, "scale": self.scale_, "coef": self.coef_, "intercept": self.intercept_}
        return classes_state(self.classes_) | learnt | {"n_iter": np.array([self.n_iter_])}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.mean_, made.scale_ = classes_of(state), state["mean"], state["scale"]
        made.coef_, made.intercept_ = state["coef"], state["intercept"]
        made.n_iter_, made.n_features_in_ = int(state["n_iter"][0]), len(made.mean_)
        return made
