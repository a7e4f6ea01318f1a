"""RBF prototypes: classes by components that are near or absent, with a radius within which no row changes its class.

Components are vectors; how present one is falls with its distance; a class is a weighted vote of what is present and of
what is absent, so a decision can be read off its components. The certified radius may be the loss: rows are then pushed
apart in the space where distances are taken (of embeddings it says nothing about the text behind them).
Source: S. Saralajew et al., A Robust Prototype-Based Network with Interpretable RBF Classifier Foundations, AAAI 2025,
arXiv 2412.15499: the stable form of classification by components, its margin and robust losses, the certified radius
of unsquared distances; defaults are those of its shallow networks, but for the number of epochs.
Departures: one sigma for all components, begun at the mean distance; components begin at rows of each class; gradients
are written out (raypipe.fitting.components); probabilities are the classes' scores over their sum.
Cost: O(n K d) a pass over the rows, `n_epochs` times; memory O(batch K + K d).
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state
from raypipe.fitting.components import TINY, Adam, Network, best_of_classes, margin_loss, radii, robust_loss


class RBFPrototypes(ClassifierMixin, BaseEstimator):
    """Classification by components in its stable form.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 40)
    >>> X = rng.normal(size=(80, 2)) + 3 * y[:, None]
    >>> model = RBFPrototypes(n_epochs=30, random_state=0).fit(X, y)
    >>> model.predict(np.array([[0.0, 0.0], [3.0, 3.0]])).tolist()
    [0, 1]
    """

    classes_: np.ndarray
    components_: np.ndarray
    sigma_: float
    theta_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        *,
        n_components: int = 2,
        n_concepts: int = 2,
        robust: bool = False,
        margin: float = 0.3,
        n_epochs: int = 100,
        batch: int = 128,
        learning_rate: float = 0.01,
        random_state: int | None = None,
    ) -> None:
        """`n_components`, `n_concepts`: components and ways of reasoning a class; `robust`: the loss is of radii.

        `margin`: of the loss, between scores in [0, 1], of a robust one a radius in units of X; `n_epochs`, `batch`,
        `learning_rate`: of Adam.
        """
        self.n_components, self.n_concepts, self.robust, self.margin = n_components, n_concepts, robust, margin
        self.n_epochs, self.batch, self.learning_rate, self.random_state = n_epochs, batch, learning_rate, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from rows [n, d] and classes [n].

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, or a setting is out of its range.
        """
        if min(self.n_components, self.n_concepts, self.n_epochs, self.batch) < 1 or self.margin <= 0:
            raise ValueError(
                f"n_components, n_concepts, n_epochs and batch must be at least 1, margin above 0, got "
                f"{self.n_components}, {self.n_concepts}, {self.n_epochs}, {self.batch} and {self.margin}."
            )
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, at = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"RBFPrototypes needs two classes at least, got 1 class: {str(y[0])!r}.")
        rng = check_random_state(self.random_state)
        unit = max(float(np.linalg.norm(X - X.mean(axis=0), axis=1).mean()), TINY)  # learning rates have no unit
        network = self._begun(X / unit, at, rng)
        loss, margin = (robust_loss, self.margin / unit) if self.robust else (margin_loss, self.margin)
        adam = Adam(self.learning_rate)
        for _ in range(self.n_epochs):
            order = rng.permutation(len(X))
            for start in range(0, len(X), self.batch):
                rows = order[start : start + self.batch]
                adam.step(network, loss(network, X[rows] / unit, at[rows], self.n_concepts, margin)[1])
        self.components_, self.theta_ = network.components * unit, network.theta
        self.sigma_ = float(np.exp(network.log_sigma[0])) * unit
        return self

    def _begun(self, X: np.ndarray, at: np.ndarray, rng: np.random.RandomState) -> Network:
        """Components at rows of their class; reasoning that looks for its own class's components."""
        k, rows = len(self.classes_), []
        for of in range(k):
            own = np.flatnonzero(at == of)
            rows.append(np.resize(rng.permutation(own), self.n_components))
        components = X[np.concatenate(rows)] + 1e-3 * rng.standard_normal((k * self.n_components, X.shape[1]))
        theta = 0.6 - 0.2 * rng.standard_normal((2 * len(components), k * self.n_concepts))
        own_class = np.arange(len(components)) // self.n_components
        theta[: len(components)] += 2.0 * (own_class[:, None] == np.arange(theta.shape[1]) // self.n_concepts)
        return Network(components, np.log([max(float(cdist(X, components).mean()), TINY)]), theta)

    def _network(self) -> Network:
        check_is_fitted(self)
        return Network(self.components_, np.log([self.sigma_]), self.theta_)

    def _scores(self, X: np.ndarray) -> np.ndarray:
        network = self._network()
        presence, _ = network.presence(validate_data(self, X, dtype=np.float64, reset=False))
        return best_of_classes(network.concepts(presence), self.n_concepts)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the highest score: [n, d] -> [n]; of equal ones the first."""
        highest = self._scores(X).argmax(axis=1)
        found: np.ndarray = self.classes_[highest]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Scores over their sum: [n, d] -> [n, k]; not calibrated."""
        scores = self._scores(X) + TINY
        found: np.ndarray = scores / scores.sum(axis=1, keepdims=True)
        return found

    def radius(self, X: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        """How far a row may move, in Euclidean distance, without losing class y (None: the predicted): [n, d] -> [n].

        Below 0 the row isn't of that class.
        """
        names = self.predict(X) if y is None else np.asarray(y)
        if len(unknown := np.setdiff1d(names, self.classes_)):
            raise ValueError(f"y must be of classes that were learned, {str(unknown[0])!r} was not.")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return radii(self._network(), X, np.searchsorted(self.classes_, names), self.n_concepts)

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: the presence of its nearest component, [n, d] -> [n]; higher is more."""
        network = self._network()
        found: np.ndarray = network.presence(validate_data(self, X, dtype=np.float64, reset=False))[0].max(axis=1)
        return found

    def explain(self, X: np.ndarray, names: Sequence[str]) -> list[str]:
        """The components that speak most for each row's class, by presence or absence; columns [d] aren't named."""
        network = self._network()
        presence, _ = network.presence(validate_data(self, X, dtype=np.float64, reset=False))
        present, absent = network.reasoning()
        concepts = network.concepts(presence).argmax(axis=1)
        said = []
        for row, concept in zip(presence, concepts, strict=True):
            parts = np.concatenate([row * present[:, concept], (1 - row) * absent[:, concept]])
            first = np.argsort(-parts, kind="stable")[:3]
            said.append("; ".join(self._said(int(at), row) for at in first))
        return said

    def _said(self, at: int, presence: np.ndarray) -> str:
        of, is_absent = at % len(presence), at >= len(presence)
        name = self.classes_[of // self.n_components]
        return f"component {of} (begun as {name}) {'absent' if is_absent else 'present'} {presence[of]:.2f}"

    def state(self) -> State:
        """What was learned: names of the classes, components, sigma, reasoning."""
        check_is_fitted(self)
        learnt = {"components": self.components_, "theta": self.theta_, "sigma": np.array([self.sigma_])}
        return classes_state(self.classes_) | learnt

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.components_, made.theta_ = classes_of(state), state["components"], state["theta"]
        made.sigma_, made.n_features_in_ = float(state["sigma"][0]), state["components"].shape[1]
        return made
