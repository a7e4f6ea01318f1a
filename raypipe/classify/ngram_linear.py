"""A linear classifier of hashed n-grams, as those that tell good text of the web from other text.

Source: A. Joulin et al., Bag of Tricks for Efficient Text Classification, arXiv 1607.01759 (a linear head over hashed
words and bigrams); J. Li et al., DataComp-LM, arXiv 2406.11794, section 4.4 (as a filter of documents).
Departures: the head is fitted to its optimum under a penalty of |W|^2 / (2 C) by scikit-learn's L-BFGS, where fastText
takes steps of falling length over learned vectors: the same rows give the same weights, whatever their order.
Cost: O(n-grams k) for each of at most `max_iter` iterations; memory k x n_hashes float64, 2 MiB a class by default.
"""

from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import softmax
from sklearn import linear_model
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.contracts.estimator import State, Taken
from raypipe.fitting.classes import classes_of, classes_state


class NGramLinear(ClassifierMixin, BaseEstimator):
    """The softmax of a linear function a class, over rows as they are.

    >>> import numpy as np
    >>> X, y = np.eye(4), np.array(["a", "a", "b", "b"])
    >>> NGramLinear().fit(X, y).predict(X).tolist()
    ['a', 'a', 'b', 'b']
    """

    takes: ClassVar[Taken] = "ngrams"

    classes_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    n_iter_: int
    n_features_in_: int

    def __init__(self, *, C: float = 30.0, max_iter: int = 300) -> None:
        """`C`: the inverse of the penalty (ours: rows are of length 1); `max_iter`: of the solver, at most."""
        self.C = C
        self.max_iter = max_iter

    def __sklearn_tags__(self) -> Tags:
        """Takes rows dense or sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: np.ndarray) -> Self:
        """Learn from rows [n, d], dense or CSR, and classes [n].

        Raises
        ------
        ValueError
            If a number isn't finite, or there are fewer than two classes.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, accept_sparse="csr")
        check_classification_targets(y)
        if len(np.unique(y)) < 2:
            raise ValueError(f"a linear classifier needs two classes at least, got 1 class: {str(y[0])!r}.")
        solver = linear_model.LogisticRegression(C=self.C, max_iter=self.max_iter).fit(X, y)
        self.classes_, self.n_iter_ = solver.classes_, int(solver.n_iter_.max())
        self.coef_, self.intercept_ = solver.coef_, solver.intercept_
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [n, d] -> [n, k]."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, accept_sparse="csr", reset=False)
        logits = np.asarray(X @ self.coef_.T) + self.intercept_
        if logits.shape[1] == 1:  # of two classes one function is held, the first one's is 0
            logits = np.hstack([np.zeros_like(logits), logits])
        found: np.ndarray = softmax(logits, axis=1)
        return found

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]; of equally likely ones the first."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def state(self) -> State:
        """What was learned: names of the classes, weights."""
        check_is_fitted(self)
        learnt = {"coef": self.coef_, "intercept": self.intercept_, "n_iter": np.array([self.n_iter_])}
        return classes_state(self.classes_) | learnt

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.coef_, made.intercept_ = classes_of(state), state["coef"], state["intercept"]
        made.n_iter_, made.n_features_in_ = int(state["n_iter"][0]), made.coef_.shape[1]
        return made
