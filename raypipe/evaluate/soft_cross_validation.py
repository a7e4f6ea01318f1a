"""Out-of-fold answers of a classifier that learns class probabilities, beside the same one that learns the truth.

Only rows whose truth is known are judged, each by a fit that hasn't seen it; those without are learned from in every
fold, as far as they have probabilities.
Source: stratified k-fold cross-validation (R. Kohavi, IJCAI 1995), by scikit-learn.
Cost: two fits a fold.
"""

import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from raypipe.contracts.estimator import Estimator
from raypipe.evaluate.baselines import majority
from raypipe.evaluate.classifiers import ClassAnswers
from raypipe.fitting.inputs import Input
from raypipe.fitting.soft import fit_soft


@dataclass(frozen=True)
class SoftRows:
    """Rows with class probabilities, and the truth of some."""

    table: pa.Table
    soft: np.ndarray
    """[n, k]"""
    covered: np.ndarray
    """[n] bool: whose probabilities are learned from."""
    truth: np.ndarray
    """[n] int; -1 where it isn't known."""

    @property
    def judged(self) -> np.ndarray:
        """Places of the rows whose truth is known."""
        return np.flatnonzero(self.truth >= 0)


Folds = list[tuple[np.ndarray, np.ndarray]]
"""Places of rows to learn from, those without truth among them, and of rows to answer for."""


def soft_folds(rows: SoftRows, *, n_folds: int, seed: int) -> Folds:
    """The folds, the same for every contender.

    Raises
    ------
    ValueError
        If no class has a row of known truth for each.
    """
    judged, y = rows.judged, rows.truth[rows.judged]
    largest = int(np.bincount(y).max(initial=0))
    if n_folds < 2 or largest < n_folds:
        raise ValueError(f"folds must be from 2 to the rows of the largest class, which has {largest}, got {n_folds}.")
    others = np.flatnonzero(rows.truth < 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes
        cut = list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y))
    return [(np.sort(np.concatenate([judged[train], others])), judged[test]) for train, test in cut]


def soft_answers(estimator: Estimator, feed: Input, rows: SoftRows, folds: Folds) -> ClassAnswers:
    """Of fits on the probabilities of covered rows."""
    classes = np.arange(rows.soft.shape[1])

    def learn(X: np.ndarray, places: np.ndarray) -> Estimator:
        return fit_soft(clone(estimator), X, rows.soft[places], classes)

    return _answers(feed, rows, folds, learn, rows.covered)


def true_answers(estimator: Estimator, feed: Input, rows: SoftRows, folds: Folds) -> ClassAnswers:
    """Of fits on the truth: full supervision."""

    def learn(X: np.ndarray, places: np.ndarray) -> Estimator:
        found: Estimator = clone(estimator).fit(X, rows.truth[places])
        return found

    return _answers(feed, rows, folds, learn, rows.truth >= 0)


def labels_alone(rows: SoftRows) -> ClassAnswers:
    """The likeliest class of each row's own probabilities; nothing is learned."""
    soft = rows.soft[rows.judged]
    return ClassAnswers(soft.argmax(axis=1), soft.max(axis=1), soft.max(axis=1), np.empty(0))


def majority_alone(rows: SoftRows, folds: Folds) -> ClassAnswers:
    """The commonest true class of each fold's other rows."""
    found = _empty(len(rows.truth))
    for train, test in folds:
        known = rows.truth[train][rows.truth[train] >= 0]
        found.label[test] = majority(known, len(test))
        found.probability[test] = (known == found.label[test][0]).mean()
    return _judged(found, rows)


def _answers(
    feed: Input, rows: SoftRows, folds: Folds, learn: Callable[[np.ndarray, np.ndarray], Estimator], usable: np.ndarray
) -> ClassAnswers:
    found = _empty(len(rows.truth))
    for train, test in folds:
        places = train[usable[train]]
        own = deepcopy(feed).fit(rows.table.take(places))
        fitted = learn(own.encode(rows.table.take(places))[0], places)
        X, _ = own.encode(rows.table.take(test))
        found.label[test], found.probability[test] = fitted.predict(X), fitted.predict_proba(X).max(axis=1)
    return _judged(found, rows)


def _empty(n: int) -> ClassAnswers:
    return ClassAnswers(np.zeros(n, int), np.zeros(n), np.zeros(n), np.empty(0))


def _judged(found: ClassAnswers, rows: SoftRows) -> ClassAnswers:
    label, probability = found.label[rows.judged], found.probability[rows.judged]
    return ClassAnswers(label, probability, probability, np.empty(0))
