"""Open-set head: a classifier as good as its closed set allows, and the logits it gives say how familiar a row is.

A row of none of the learned classes has low logits. Three scores of the same logits, higher is more familiar: the
largest logit; the largest softmax probability; the (negative) free energy, a smooth maximum of the logits.
Source: S. Vaze et al., Open-Set Recognition: A Good Closed-Set Classifier is All You Need, ICLR 2022, arXiv 2110.06207,
section 4 (maximum logit against maximum softmax probability); D. Hendrycks and K. Gimpel, ICLR 2017 (the probability);
W. Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020, equation 4 (energy, temperature 1).
Departures: a head on vectors in memory, one hidden layer of ReLU or none, by scikit-learn, in place of a network on
images, and so no augmentation nor label smoothing; of two classes the one logit is shared out as its halves.
Cost: `max_epochs` passes at most, of O(n d hidden) each; the state is d x hidden + hidden x k numbers.
"""

import warnings
from typing import Literal, Self

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state


def max_logit(logits: np.ndarray) -> np.ndarray:
    """The largest logit: [n, k] -> [n]."""
    found: np.ndarray = logits.max(axis=1)
    return found


def max_probability(logits: np.ndarray) -> np.ndarray:
    """The largest softmax probability: [n, k] -> [n], in (0, 1]; a constant added to all logits changes nothing.

    >>> import numpy as np
    >>> max_probability(np.array([[2.0, 0.0], [1.0, 1.0]])).round(3).tolist()
    [0.881, 0.5]
    """
    found: np.ndarray = softmax(logits, axis=1).max(axis=1)
    return found


def energy(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of the exponentials: [n, k] -> [n], minus the free energy at temperature 1."""
    found: np.ndarray = logsumexp(logits, axis=1)
    return found


SCORERS = {"max-logit": max_logit, "max-probability": max_probability, "energy": energy}


class OpenSetHead(ClassifierMixin, BaseEstimator):
    """A linear or one-hidden-layer classifier that knows what it doesn't know.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 40)
    >>> X = rng.normal(size=(80, 2)) + 3 * y[:, None]
    >>> model = OpenSetHead(hidden=0).fit(X, y)
    >>> float((model.predict(X) == y).mean().round(2))
    0.96
    >>> known, unknown = model.score_samples(np.array([[4.0, 4.0], [1.5, 1.5]]))
    >>> bool(known > unknown)
    True
    """

    classes_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    weights_: list[np.ndarray]
    biases_: list[np.ndarray]
    n_features_in_: int

    def __init__(
        self, *, hidden: int = 128, scorer: Literal["max-logit", "max-probability", "energy"] = "max-logit",
        alpha: float = 1e-4, max_epochs: int = 200, random_state: int = 0,
    ) -> None:  # fmt: skip
        """`hidden`: units, 0 for a linear head; `scorer`: what familiarity is.

        `alpha`: the quadratic penalty; `max_epochs`: passes over the rows, at most.
        """
        self.hidden = hidden
        self.scorer = scorer
        self.alpha = alpha
        self.max_epochs = max_epochs
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from rows [n, d] and classes [n].

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, or a setting can't be.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if self.hidden < 0 or self.scorer not in SCORERS:
            raise ValueError(
                f"hidden must be at least 0 and scorer one of {', '.join(SCORERS)}, got {self.hidden}, {self.scorer!r}."
            )
        self.classes_, at = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"an open-set head needs two classes at least, got 1 class: {str(y[0])!r}.")
        self.mean_, self.scale_ = mean_and_scale(X)
        self.weights_, self.biases_ = self._trained((X - self.mean_) / self.scale_, at)
        if self.weights_[-1].shape[1] == 1:  # of two classes the solvers know one function: halves of it
            self.weights_[-1] = np.hstack([-self.weights_[-1], self.weights_[-1]]) / 2
            self.biases_[-1] = np.concatenate([-self.biases_[-1], self.biases_[-1]]) / 2
        return self

    def _trained(self, X: np.ndarray, y: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # so many epochs are what was asked for
            if self.hidden == 0:
                linear = LogisticRegression(C=1 / max(self.alpha * len(X), 1e-12), max_iter=self.max_epochs).fit(X, y)
                return [linear.coef_.T], [linear.intercept_]
            network = MLPClassifier(
                (self.hidden,), alpha=self.alpha, max_iter=self.max_epochs, random_state=self.random_state
            ).fit(X, y)
        return list(network.coefs_), list(network.intercepts_)

    def logits(self, X: np.ndarray) -> np.ndarray:
        """Before any softmax: [n, d] -> [n, k]."""
        check_is_fitted(self)
        X = (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.scale_
        for weights, bias in zip(self.weights_[:-1], self.biases_[:-1], strict=True):
            X = np.maximum(X @ weights + bias, 0.0)
        found: np.ndarray = X @ self.weights_[-1] + self.biases_[-1]
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]."""
        likeliest = self.logits(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k]."""
        found: np.ndarray = softmax(self.logits(X), axis=1)
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is, by `scorer`: [n, d] -> [n]; higher is more."""
        return SCORERS[self.scorer](self.logits(X))

    def state(self) -> State:
        """Names of the classes, scaling, weights."""
        check_is_fitted(self)
        layers = {f"weights_{at}": of for at, of in enumerate(self.weights_)}
        layers |= {f"biases_{at}": of for at, of in enumerate(self.biases_)}
        return classes_state(self.classes_) | {"mean": self.mean_, "scale": self.scale_} | layers

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.mean_, made.scale_ = classes_of(state), state["mean"], state["scale"]
        n_layers = sum(name.startswith("weights_") for name in state)
        made.weights_ = [state[f"weights_{at}"] for at in range(n_layers)]
        made.biases_ = [state[f"biases_{at}"] for at in range(n_layers)]
        made.n_features_in_ = len(made.mean_)
        return made
