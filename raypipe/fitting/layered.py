"""What classifiers share that come to layers on scaled rows: answers, and what a folder keeps of them."""

from typing import Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state
from raypipe.fitting.perceptron import Layers, layers_of, layers_state, logits


class LayeredClassifier(ClassifierMixin, BaseEstimator):
    """The part of an estimator that is the same for all of them; each has its own settings and its own `fit`."""

    classes_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    layers_: Layers
    n_features_in_: int

    def _logits(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return logits(self.layers_, (X - self.mean_) / self.scale_)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k], of classes as frequent as the fit weighed them."""
        found: np.ndarray = softmax(self._logits(X), axis=1)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def state(self) -> State:
        """What was learned: classes, scaling, layers."""
        check_is_fitted(self)
        return classes_state(self.classes_) | {"mean": self.mean_, "scale": self.scale_} | layers_state(self.layers_)

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.mean_, made.scale_ = classes_of(state), state["mean"], state["scale"]
        made.layers_, made.n_features_in_ = layers_of(state), len(made.mean_)
        return made
