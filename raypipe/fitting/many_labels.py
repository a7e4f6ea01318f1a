"""Rows of many labels each: how a method that takes them is fitted, and its answers, likeliest label first.

A class says that it takes them by `fit_many(X, labels)` and `probabilities(X)` [n, C], each label's for itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from raypipe.contracts.estimator import Estimator
from raypipe.fitting.inputs import Input
from raypipe.fitting.names import name_vectors

MOST = 100
"""Labels of a row that are kept, the likeliest ones: what bounds the memory of answers, however many labels exist."""
BLOCK = 1024
"""Rows whose probabilities of all labels are held together."""


@runtime_checkable
class LearnsMany(Protocol):
    """An estimator of rows with many labels."""

    classes_: np.ndarray

    def fit_many(self, X: np.ndarray, labels: Sequence[Sequence[Any]]) -> Self:
        """Learn from rows [n, d] and a list of labels each."""
        ...

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Of each label for itself: [n, d] -> [n, C]."""
        ...


@dataclass(frozen=True)
class LikeliestLabels:
    """The likeliest labels of rows, in falling order; equally likely ones in the order of the labels."""

    place: np.ndarray
    """[n, k] int32, of each label among all."""
    probability: np.ndarray
    """[n, k] float32; 0: not said at all."""

    def take(self, rows: np.ndarray) -> "LikeliestLabels":
        """Some of the rows."""
        return LikeliestLabels(self.place[rows], self.probability[rows])


def takes_many(kind: type) -> bool:
    """Whether a classifier learns from rows of many labels."""
    return hasattr(kind, "fit_many") and hasattr(kind, "probabilities")


def fit_many(estimator: Estimator, feed: Input, X: np.ndarray, labels: Sequence[Sequence[str]]) -> LearnsMany:
    """The estimator, fitted on rows [n, d] and their lists of labels; one that takes names gets those of the labels."""
    fit: Callable[..., LearnsMany] = estimator.fit_many  # type: ignore[attr-defined]
    if not getattr(estimator, "takes_names", False) or feed.name != "words":
        return fit(X, labels)
    return fit(X, labels, names=name_vectors(feed, sorted({label for of in labels for label in of})))


def ranked(probability: np.ndarray, *, most: int = MOST) -> LikeliestLabels:
    """The `most` likeliest labels of rows of probabilities: [n, C] -> [n, min(most, C)]."""
    k = min(most, probability.shape[1])
    falling = -probability.astype(np.float32)
    if k < probability.shape[1]:
        place = np.sort(np.argpartition(falling, k - 1, axis=1)[:, :k], axis=1)
    else:
        place = np.broadcast_to(np.arange(k), probability.shape)
    of_kept = np.take_along_axis(falling, place, 1)
    order = np.argsort(of_kept, axis=1, kind="stable")
    return LikeliestLabels(
        np.take_along_axis(place, order, 1).astype(np.int32), np.abs(np.take_along_axis(of_kept, order, 1))
    )


def answers(probabilities: Callable[[np.ndarray], np.ndarray], X: np.ndarray) -> LikeliestLabels:
    """The ranked labels of rows [n, d], a block at a time: [n, C] is never whole."""

    def blocks() -> Iterator[LikeliestLabels]:
        for begin in range(0, max(1, len(X)), BLOCK):
            yield ranked(probabilities(X[begin : begin + BLOCK]))

    parts = list(blocks())
    return LikeliestLabels(
        np.concatenate([one.place for one in parts]), np.concatenate([one.probability for one in parts])
    )
