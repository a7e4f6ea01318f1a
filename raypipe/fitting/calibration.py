"""Temperature scaling of any classifier: one scalar divides the logarithms of its probabilities.

It is found on rows that the classifier hasn't seen, so that a probability of 0.8 is right eight times in ten; which
class is the likeliest doesn't change.
Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
Departures: rows out of `N_FOLDS` folds stand for a validation set; log T by bounded minimisation; log probabilities in
place of logits, which differ from them by a number a row.
Cost: `N_FOLDS` fits more.
"""

import warnings
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from raypipe.contracts.estimator import Estimator

N_FOLDS = 3
LEAST = 1e-12
"""Below it a probability counts as this much: of a method that is quite sure and wrong no scalar makes a thing."""
_REACH = np.log(100.0)


def temperature_of(probability: np.ndarray, y: np.ndarray) -> float:
    """The temperature under which classes y [n] int are likeliest by probabilities [n, k]; 1: as they are.

    Raises
    ------
    ValueError
        If there is no row.
    """
    if not len(y):
        raise ValueError("a temperature is found on rows, got none.")
    logits, rows = _log(probability), np.arange(len(y))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature), axis=1)[rows, y].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-_REACH, _REACH), method="bounded").x))


def tempered(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities [n, k] at a temperature: above 1 they are less sure."""
    if temperature == 1.0:
        return probability
    found: np.ndarray = softmax(_log(probability) / temperature, axis=1)
    return found


def fit_temperature(estimator: Estimator, X: Any, y: np.ndarray, *, seed: int) -> float:
    """The temperature of an estimator on rows X and targets y [n], by fits that haven't seen them; 1 where one fails.

    A class of too few rows for every fold is met by those fits that have seen it; other rows say nothing.
    """
    classes, at = np.unique(y, return_inverse=True)
    if np.bincount(at).max() < N_FOLDS:
        return 1.0
    probability, rows = [np.empty((0, len(classes)))], [np.empty(0, int)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes, which whoever has their names speaks of
        cut = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(y, y))
    for train, test in cut:
        fitted = clone(estimator).fit(X[train], y[train])
        learnt = fitted.classes_
        known, column = np.isin(y[test], learnt), np.searchsorted(classes, learnt)
        found = np.zeros((int(known.sum()), len(classes)))
        found[:, column] = fitted.predict_proba(X[test[known]])
        probability.append(found)
        rows.append(test[known])
    return temperature_of(np.concatenate(probability), at[np.concatenate(rows)])


def _log(probability: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(probability, LEAST)))
