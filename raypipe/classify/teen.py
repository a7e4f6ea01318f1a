"""TEEN: classes by their mean vectors; few-shot means are drawn towards the base classes that they resemble.

Base classes come by `fit`, sessions of new classes by `add_classes` or, with `max_shots`, by having few rows; nothing
is trained and no base class moves, so old classes are forgotten only as far as new ones compete with them.
Source: Q.-W. Wang et al., Few-Shot Class-Incremental Learning via Training-Free Prototype Calibration, NeurIPS 2023,
section on calibration: similarities, weights, calibrated prototypes; the mixture of base prototypes is brought to
length 1, as in the authors' code, whose alpha and tau are the defaults. Both were tuned per data set: see `chosen`.
Departures: probabilities are the softmax of scaled cosines, the classifier's of base training; sums of each class are
kept, so that fits on parts of the rows can be merged; `max_shots` is ours.
Cost: O(n d) to fit, O(k_new k_base d) to calibrate, O(n k d) to predict; memory beside the rows O(n k + k d).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state


def to_length_one(X: np.ndarray) -> np.ndarray:
    """Rows [n, d] of length 1; a row of zeros stays."""
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    found: np.ndarray = np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 0)
    return found


def base_weights(new: np.ndarray, base: np.ndarray, *, tau: float) -> np.ndarray:
    """How much each base class lends to each new one: unit vectors [a, d], [b, d] -> [a, b], rows adding up to 1."""
    found: np.ndarray = softmax(tau * new @ base.T, axis=1)
    return found


class TEEN(ClassifierMixin, BaseEstimator):
    """Nearest calibrated mean by the cosine.

    >>> import numpy as np
    >>> base = np.eye(3).repeat(4, axis=0)
    >>> model = TEEN().fit(base, np.repeat(["a", "b", "c"], 4))
    >>> model = model.add_classes(np.array([[0.0, 1.0, 1.0]]), np.array(["new"]))
    >>> model.predict(np.array([[0.0, 0.9, 1.0], [1.0, 0.0, 0.0]])).tolist()
    ['new', 'a']
    """

    classes_: np.ndarray
    sums_: np.ndarray
    counts_: np.ndarray
    is_added_: np.ndarray
    n_features_in_: int

    def __init__(self, *, alpha: float = 0.5, tau: float = 16.0, max_shots: int = 0, scale: float = 16.0) -> None:
        """`alpha`: how far new classes go, 0 to 1; `tau`: sharpness of similarities; `scale`: of cosines, for softmax.

        `max_shots`: classes with so many rows or fewer count as new; 0: only those that `add_classes` brings.
        """
        self.alpha, self.tau, self.max_shots, self.scale = alpha, tau, max_shots, scale

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn base classes from rows [n, d] and classes [n]; what was learned before is forgotten.

        Raises
        ------
        ValueError
            If a number isn't finite, there is no row, or a setting is out of its range.
        """
        if not 0 <= self.alpha <= 1 or self.tau <= 0 or self.scale <= 0 or self.max_shots < 0:
            raise ValueError(
                f"alpha must be in [0, 1], tau and scale above 0, max_shots at least 0, got {self.alpha}, {self.tau}, "
                f"{self.scale} and {self.max_shots}."
            )
        self.classes_, self.sums_, self.counts_ = self._sums(X, y, reset=True)
        self.is_added_ = np.zeros(len(self.classes_), bool)
        return self

    def add_classes(self, X: np.ndarray, y: np.ndarray) -> Self:
        """A session of new classes, a few rows each: [n, d] and [n]. The order of sessions changes nothing.

        Raises
        ------
        ValueError
            If a class is known already, or its name isn't of the kind of those that are known.
        """
        check_is_fitted(self)
        names, sums, counts = self._sums(X, y, reset=False)
        if names.dtype.kind != self.classes_.dtype.kind and "U" in (names.dtype.kind, self.classes_.dtype.kind):
            raise ValueError(f"names must be all texts or all numbers, got {names[0]!r} beside {self.classes_[0]!r}.")
        if len(known := np.intersect1d(names, self.classes_)):
            raise ValueError(f"a session brings new classes, {known[0]!r} is known; give its rows to fit.")
        self._take(names, sums, counts, np.ones(len(names), bool))
        return self

    def merge(self, other: Self) -> Self:
        """Take in what another has learned of other rows.

        Raises
        ------
        ValueError
            If a class is a base class here and a new one there.
        """
        check_is_fitted(other)
        _, here, there = np.intersect1d(self.classes_, other.classes_, return_indices=True)
        if (apart := self.is_added_[here] != other.is_added_[there]).any():
            raise ValueError(f"a class must be base or new on both sides, {self.classes_[here][apart][0]!r} is not.")
        self._take(other.classes_, other.sums_, other.counts_, other.is_added_)
        return self

    def _sums(self, X: np.ndarray, y: np.ndarray, *, reset: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        X, y = validate_data(self, X, y, dtype=np.float64, reset=reset)
        check_classification_targets(y)
        names, at = np.unique(y, return_inverse=True)
        sums = np.zeros((len(names), X.shape[1]))
        np.add.at(sums, at, X)
        return names, sums, np.bincount(at, minlength=len(names)).astype(np.int64)

    def _take(self, names: np.ndarray, sums: np.ndarray, counts: np.ndarray, is_added: np.ndarray) -> None:
        every = np.unique(np.concatenate([self.classes_, names]))
        total, number = np.zeros((len(every), sums.shape[1])), np.zeros(len(every), np.int64)
        added = np.zeros(len(every), bool)
        for of, s, c, a in (
            (self.classes_, self.sums_, self.counts_, self.is_added_),
            (names, sums, counts, is_added),
        ):
            at = np.searchsorted(every, of)
            total[at] += s
            number[at] += c
            added[at] |= a
        self.classes_, self.sums_, self.counts_, self.is_added_ = every, total, number, added

    @property
    def is_base_(self) -> np.ndarray:
        """Which classes lend and never move: [k] bool; where all would be new, all are base."""
        check_is_fitted(self)
        found: np.ndarray = ~self.is_added_ & (self.counts_ > self.max_shots)
        return found if found.any() else ~self.is_added_

    @property
    def prototypes_(self) -> np.ndarray:
        """The vector of each class [k, d]: base classes' means of length 1, new classes' drawn towards them."""
        units, is_base = to_length_one(self.sums_ / self.counts_[:, None]), self.is_base_
        base, new = units[is_base], units[~is_base]
        lent = to_length_one(base_weights(new, base, tau=self.tau) @ base)
        units[~is_base] = (1 - self.alpha) * new + self.alpha * lent
        return units

    def _cosines(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        X = to_length_one(validate_data(self, X, dtype=np.float64, reset=False))
        found: np.ndarray = X @ to_length_one(self.prototypes_).T
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the nearest prototype: [n, d] -> [n]; of equally near ones the first."""
        nearest = self._cosines(X).argmax(axis=1)
        found: np.ndarray = self.classes_[nearest]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax of the scaled cosines: [n, d] -> [n, k]."""
        found: np.ndarray = softmax(self.scale * self._cosines(X), axis=1)
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: its highest cosine, [n, d] -> [n]; higher is more."""
        found: np.ndarray = self._cosines(X).max(axis=1)
        return found

    def state(self) -> State:
        """What was learned: sums, counts, names of the classes, and which came by sessions."""
        check_is_fitted(self)
        learnt = {"sums": self.sums_, "counts": self.counts_, "is_added": self.is_added_}
        return classes_state(self.classes_) | learnt

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.sums_, made.counts_ = classes_of(state), state["sums"], state["counts"]
        made.is_added_, made.n_features_in_ = state["is_added"], state["sums"].shape[1]
        return made


@dataclass(frozen=True)
class SessionAccuracy:
    """How well base and new classes are told, each on its own; NaN where there is no row of a kind."""

    base: float
    new: float
    harmonic: float
    """Harmonic mean of the two."""
    new_called_base: float
    """Share of rows of new classes that are given a base class."""


def session_accuracy(model: TEEN, X: np.ndarray, y: np.ndarray) -> SessionAccuracy:
    """Accuracies on rows [n, d] of classes [n], told among all classes."""
    found, base_names = model.predict(X), model.classes_[model.is_base_]
    of_base, right = np.isin(y, base_names), found == y
    base, new = (float(right[rows].mean()) if rows.any() else np.nan for rows in (of_base, ~of_base))
    called = float(np.isin(found[~of_base], base_names).mean()) if (~of_base).any() else np.nan
    return SessionAccuracy(base, new, 2 * base * new / max(base + new, 1e-12), called)


def chosen(
    X: np.ndarray,
    y: np.ndarray,
    *,
    n_shots: int,
    alphas: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    taus: Sequence[float] = (4.0, 16.0, 64.0),
    n_draws: int = 10,
    random_state: int = 0,
) -> TEEN:
    """Settings, unfitted, of the best harmonic mean where a third of the base classes [n, d], [n] is treated as new.

    Raises
    ------
    ValueError
        If there are fewer than three classes, or one has too few rows for shots and a test.
    """
    names, counts = np.unique(y, return_counts=True)
    if len(names) < 3 or counts.min() <= n_shots:
        raise ValueError(
            f"choosing needs 3 classes of more than n_shots = {n_shots} rows each, got {len(names)} classes of "
            f"{counts.min()} rows at least; lower n_shots or give alpha and tau."
        )
    rng, settings = np.random.default_rng(random_state), list(product(alphas, taus))
    totals = np.zeros(len(settings))
    for _ in range(n_draws):
        new = rng.choice(names, max(1, len(names) // 3), replace=False)
        order = rng.permutation(len(y))
        ranks = np.zeros(len(y), np.int64)  # of each row within its class, in a random order
        for name in names:
            ranks[order[y[order] == name]] = np.arange((y == name).sum())
        is_new, half = np.isin(y, new), counts[np.searchsorted(names, y)] // 2
        taught, shots = ~is_new & (ranks < half), is_new & (ranks < n_shots)
        test = ~taught & ~shots
        for at, (alpha, tau) in enumerate(settings):
            model = TEEN(alpha=alpha, tau=tau).fit(X[taught], y[taught]).add_classes(X[shots], y[shots])
            totals[at] += session_accuracy(model, X[test], y[test]).harmonic
    alpha, tau = settings[int(totals.argmax())]
    return TEEN(alpha=alpha, tau=tau)
