"""Out-of-fold answers of a classifier: every row is answered for by a fit that hasn't seen it, nor its input's fit.

Source: stratified k-fold cross-validation (R. Kohavi, IJCAI 1995), by scikit-learn. Rows of an unknown class are spread
over the folds, are never learned from, and are met by one fold's fit each, so that familiarities of known and unknown
rows come from the same fits.
Cost: k fits of the input and of the estimator, and N_FOLDS more of each for a temperature.
"""

import warnings
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from raypipe.contracts.estimator import Estimator
from raypipe.evaluate.baselines import majority
from raypipe.evaluate.classifiers import ClassAnswers
from raypipe.fitting.beside import LearnsBeside, fit_beside
from raypipe.fitting.calibration import fit_temperature, tempered
from raypipe.fitting.inputs import Input


@dataclass(frozen=True)
class KnownRows:
    """Rows with their classes, and rows of no class that is to be learned."""

    known: pa.Table
    y: np.ndarray
    """[n] int, from 0 on."""
    unknown: pa.Table
    names: tuple[str, ...] = ()
    """Of the classes, for methods to whom they mean something; (): they are fitted on the numbers."""
    beside: LearnsBeside = LearnsBeside()
    """What every fit may use beside known rows."""

    @property
    def n_classes(self) -> int:
        """Of the known rows."""
        return int(self.y.max(initial=-1)) + 1

    @property
    def targets(self) -> np.ndarray:
        """What is fitted on: [n]."""
        return np.array(self.names)[self.y] if self.names else self.y

    def numbers(self, targets: np.ndarray) -> np.ndarray:
        """The classes' numbers of what was predicted: [m] -> [m] int, -1 for a label that no known row has."""
        if not self.names:
            return np.asarray(targets, int)
        number = {name: at for at, name in enumerate(self.names)}
        return np.array([number.get(str(target), -1) for target in targets], int)


@dataclass(frozen=True)
class Fold:
    """Places of rows."""

    train: np.ndarray
    test: np.ndarray
    unknown: np.ndarray


def folds_of(rows: KnownRows, *, n_folds: int, seed: int) -> list[Fold]:
    """The folds, the same for every contender.

    Raises
    ------
    ValueError
        If there are fewer than two folds, no class has a row for each, or a fold leaves one class to learn.
    """
    largest = int(np.bincount(rows.y).max(initial=0))
    if n_folds < 2 or largest < n_folds:
        raise ValueError(f"folds must be from 2 to the rows of the largest class, which has {largest}, got {n_folds}.")
    of_unknown = np.random.default_rng(seed).permutation(len(rows.unknown)) % n_folds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes, which whoever has their names speaks of
        cut = list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows.y, rows.y))
    if any(len(np.unique(rows.y[train])) < 2 for train, _ in cut):
        raise ValueError("each fold must leave rows of two classes to learn from; give more rows of the rare classes.")
    return [Fold(train, test, np.flatnonzero(of_unknown == at)) for at, (train, test) in enumerate(cut)]


def cross_validated(
    estimator: Estimator, feed: Input, rows: KnownRows, folds: list[Fold], *, calibration_seed: int | None = None
) -> ClassAnswers:
    """What fits of an estimator and of what feeds it, neither fitted yet, say of the rows that they haven't seen.

    With a `calibration_seed` each fit's probabilities are at the temperature that its own rows ask for.
    """
    return _gathered(rows, folds, _of_folds(estimator, feed, rows, folds, calibration_seed))


def _of_folds(
    estimator: Estimator, feed: Input, rows: KnownRows, folds: list[Fold], calibration_seed: int | None
) -> Iterator[ClassAnswers]:
    for fold in folds:
        train, beside = rows.known.take(fold.train), rows.beside.take(fold.train)
        own = beside.feeding(deepcopy(feed), train)
        X, _ = own.encode(train)
        y = rows.targets[fold.train]
        fitted = fit_beside(clone(estimator), own, X, y, beside)
        temperature = 1.0 if calibration_seed is None else fit_temperature(estimator, X, y, seed=calibration_seed)
        test, _ = own.encode(rows.known.take(fold.test))
        beyond, _ = own.encode(rows.unknown.take(fold.unknown))
        probability = tempered(fitted.predict_proba(test), temperature)
        yield ClassAnswers(
            rows.numbers(fitted.predict(test)),
            probability.max(axis=1),
            familiarity(fitted, test),
            familiarity(fitted, beyond) if len(fold.unknown) else np.empty(0),
            probability[:, _second(fitted, rows)] if rows.n_classes == 2 else np.empty(0),
        )


def _second(fitted: Estimator, rows: KnownRows) -> int:
    """The column of the second class."""
    return int(rows.numbers(fitted.classes_).argmax())  # type: ignore[attr-defined]


def familiarity(fitted: Estimator, X: np.ndarray) -> np.ndarray:
    """The estimator's `score_samples`; without it, the probability of the likeliest class: [n, d] -> [n]."""
    if hasattr(fitted, "score_samples"):
        return np.asarray(fitted.score_samples(X), np.float64)
    return np.asarray(fitted.predict_proba(X).max(axis=1), np.float64)


def majority_answers(rows: KnownRows, folds: list[Fold]) -> ClassAnswers:
    """The commonest class of each fold's other rows, with its share; every row is as familiar as the next."""

    def of_fold(fold: Fold) -> ClassAnswers:
        commonest, n = majority(rows.y[fold.train], len(fold.test)), len(fold.test)
        share = float((rows.y[fold.train] == commonest[0]).mean())
        alike = np.full(n, 0.5) if rows.n_classes == 2 else np.empty(0)
        return ClassAnswers(commonest, np.full(n, share), np.zeros(n), np.zeros(len(fold.unknown)), alike)

    return _gathered(rows, folds, map(of_fold, folds))


def _gathered(rows: KnownRows, folds: list[Fold], answers: Iterator[ClassAnswers]) -> ClassAnswers:
    """The folds' answers, in the order of the rows."""
    n, u = len(rows.y), len(rows.unknown)
    of_second = np.empty(n if rows.n_classes == 2 else 0)
    found = ClassAnswers(np.empty(n, int), np.empty(n), np.empty(n), np.empty(u), of_second)
    for fold, one in zip(folds, answers, strict=True):
        found.label[fold.test], found.probability[fold.test] = one.label, one.probability
        found.familiarity[fold.test], found.of_unknown[fold.unknown] = one.familiarity, one.of_unknown
        if len(found.of_second):
            found.of_second[fold.test] = one.of_second
    return found
