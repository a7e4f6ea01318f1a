"""Self-training on a long tail: a re-weighted teacher names unlabelled rows, a re-weighted student learns from all.

Labels on a long tail are worth more with rows that have none: the teacher's answers to them are learned as if true, and
classes are weighed anew over both. For images there is the other way too, `pretext="rotation"`: a network learns
without labels how far rows were turned, and then, all but its last layer, the classes.
Source: Y. Yang and Z. Xu, Rethinking the Value of Labels for Improving Class-Imbalanced Learning, NeurIPS 2020, arXiv
2006.07529: pseudo-labels without a threshold, omega, pretraining by rotation, effective numbers (beta .9999).
Departures: rows are vectors; the head is logistic regression (`hidden=0`) or a network of two hidden layers. A linear
teacher without weights makes an unlabelled long tail worse: weights are on by default.
Cost: `n_rounds` + 1 fits; of the network `n_steps` of O(batch w) for w weights each, and as many to pretrain it.
"""

from typing import ClassVar, Literal, Self

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_random_state, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.fitting.beside import unlabelled_rows
from raypipe.fitting.layered import LayeredClassifier
from raypipe.fitting.perceptron import (
    Layers,
    activations,
    begun,
    cross_entropy,
    logits,
    slopes,
)
from raypipe.fitting.prototypes import AdamByName

Weighting = Literal["none", "balanced", "effective"]
BETA = 0.9999


def class_weights(at: np.ndarray, k: int, weighting: Weighting) -> np.ndarray:
    """The weight of each class of rows [n] int: [k], 1 on average over rows; 0 of a class without rows.

    balanced: the inverse of its rows; effective: of their effective number, (1 - beta^n) / (1 - beta).

    >>> import numpy as np
    >>> class_weights(np.array([0, 0, 0, 1]), 2, "balanced").round(3).tolist()
    [0.667, 2.0]
    """
    counts = np.bincount(at, minlength=k).astype(float)
    if weighting == "none":
        return np.ones(k)
    size = counts if weighting == "balanced" else (1 - BETA**counts) / (1 - BETA)
    weights = np.divide(1.0, size, out=np.zeros(k), where=counts > 0)
    found: np.ndarray = weights * counts.sum() / (weights @ counts)
    return found


def turned(X: np.ndarray, quarters: np.ndarray) -> np.ndarray:
    """Square images [n, side^2], each turned by so many quarters [n]."""
    side = round(X.shape[1] ** 0.5)
    images, found = X.reshape(-1, side, side), np.empty_like(X).reshape(-1, side, side)
    for of in range(4):
        found[quarters == of] = np.rot90(images[quarters == of], of, axes=(1, 2))
    return found.reshape(X.shape)


class ImbalancedSelfTraining(LayeredClassifier):
    """A student of labelled rows and of its teacher's answers to others, all classes weighed."""

    takes_unlabelled: ClassVar[bool] = True

    pseudo_labels_: np.ndarray
    """What the last teacher called the unlabelled rows [m]; not kept in a folder."""

    def __init__(
        self, *, weighting: Weighting = "balanced", omega: float = 1.0, n_rounds: int = 1, hidden: int = 0,
        pretext: Literal["none", "rotation"] = "none", C: float = 1.0, n_steps: int = 400, batch: int = 128,
        learning_rate: float = 3e-3, random_state: int | None = None,
    ) -> None:  # fmt: skip
        """`weighting`: of classes, in teacher and student; `omega`: of a pseudo-label beside a label; `n_rounds`.

        `hidden`: units of the first of two hidden layers, half as many in the second; 0: a linear head, with `C`, the
        inverse of the quadratic penalty. `pretext`: what a network learns first; `n_steps` of Adam on `batch` rows.
        """
        self.weighting, self.omega, self.n_rounds, self.hidden, self.pretext = (
            weighting,
            omega,
            n_rounds,
            hidden,
            pretext,
        )
        self.C, self.n_steps, self.batch, self.learning_rate = C, n_steps, batch, learning_rate
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, *, X_unlabelled: np.ndarray | None = None) -> Self:
        """Learn from rows [n, d], classes [n] and rows without a class [m, d]; None: there is only a teacher.

        Raises
        ------
        ValueError
            If a number isn't finite, rows are of several lengths, there are fewer than two classes, or a setting can't
            be.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        self._check(X.shape[1])
        check_classification_targets(y)
        others = X[:0] if X_unlabelled is None else unlabelled_rows(X_unlabelled, X)
        self.classes_, at = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"self-training needs two classes at least, got 1 class: {str(y[0])!r}.")
        self.mean_, self.scale_ = mean_and_scale(np.concatenate([X, others]))
        Z, U = (X - self.mean_) / self.scale_, (others - self.mean_) / self.scale_
        rng = check_random_state(self.random_state)
        start = self._start(Z, U, rng)
        self.layers_ = self._trained(start, Z, at, np.ones(len(at)), rng)
        named = at[:0]
        for _ in range(self.n_rounds if len(U) else 0):
            named = self._named(U)
            both = np.concatenate([Z, U]), np.concatenate([at, named])
            self.layers_ = self._trained(start, *both, np.repeat([1.0, self.omega], [len(Z), len(U)]), rng)
        self.pseudo_labels_ = self.classes_[named]
        return self

    def _check(self, d: int) -> None:
        if min(self.n_rounds, self.hidden, self.omega) < 0 or min(self.n_steps, self.batch) < 1:
            raise ValueError(
                "n_rounds, hidden and omega must be at least 0, n_steps and batch 1, got "
                f"{self.n_rounds}, {self.hidden}, {self.omega}, {self.n_steps} and {self.batch}."
            )
        if self.C <= 0 or self.learning_rate <= 0 or self.weighting not in ("none", "balanced", "effective"):
            raise ValueError(
                "C and learning_rate must be above 0 and weighting none, balanced or effective, got "
                f"{self.C}, {self.learning_rate} and {self.weighting!r}."
            )
        if self.pretext not in ("none", "rotation"):
            raise ValueError(f"pretext must be none or rotation, got {self.pretext!r}.")
        if self.pretext == "rotation" and (not self.hidden or round(d**0.5) ** 2 != d):
            raise ValueError(
                f"pretext rotation must have square images and a network to train, got {d} numbers a row and hidden "
                f"{self.hidden}; set hidden=64, or leave pretext out."
            )

    def _named(self, U: np.ndarray) -> np.ndarray:
        """The teacher's answers: numbers of classes [m]."""
        found: np.ndarray = logits(self.layers_, U).argmax(axis=1)
        return found

    def _start(self, Z: np.ndarray, U: np.ndarray, rng: np.random.RandomState) -> Layers | None:
        """Layers before any label is seen; None where they are linear."""
        if not self.hidden:
            return None
        sizes = (Z.shape[1], self.hidden, max(2, self.hidden // 2))
        layers = begun((*sizes, len(self.classes_)), rng)
        if self.pretext == "none":
            return layers
        own, both = begun((*sizes, 4), rng), np.concatenate([Z, U])
        adam = AdamByName(self.learning_rate)
        for _ in range(self.n_steps):
            rows, quarters = rng.randint(len(both), size=self.batch), rng.randint(4, size=self.batch)
            images = both[rows] * self.scale_ + self.mean_
            made = activations(own, (turned(images, quarters) - self.mean_) / self.scale_)
            adam.step(own, slopes(own, made, cross_entropy(made[-1], np.eye(4)[quarters])[1])[0])
        return layers | {name: of for name, of in own.items() if not name.endswith("2")}

    def _trained(
        self, start: Layers | None, Z: np.ndarray, at: np.ndarray, weight: np.ndarray, rng: np.random.RandomState
    ) -> Layers:
        weight = weight * class_weights(at, len(self.classes_), self.weighting)[at]
        if start is None:
            return self._linear(Z, at, weight)
        layers, targets, adam = dict(start), np.eye(len(self.classes_))[at], AdamByName(self.learning_rate)
        for _ in range(self.n_steps):
            rows = rng.randint(len(Z), size=min(self.batch, len(Z)))
            made = activations(layers, Z[rows])
            _, slope = cross_entropy(made[-1], targets[rows], weight[rows] / len(rows))
            adam.step(layers, slopes(layers, made, slope)[0])
        return layers

    def _linear(self, Z: np.ndarray, at: np.ndarray, weight: np.ndarray) -> Layers:
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=self.C, max_iter=1000).fit(Z, at, sample_weight=weight)
        if len(self.classes_) == 2:  # of two classes the solver knows one function: the first one's is 0
            return {
                "weights0": np.hstack([np.zeros_like(model.coef_.T), model.coef_.T]),
                "bias0": np.array([0.0, float(model.intercept_[0])]),
            }
        return {"weights0": model.coef_.T, "bias0": model.intercept_}
