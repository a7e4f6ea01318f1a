"""Class probabilities as rows that any classifier with weights of rows can learn: one copy a class, by its share.

Source: the expected loss under probabilistic labels, A. Ratner et al., Data Programming, NeurIPS 2016, equation 3.
Cost: at most k copies of the rows; shares of less than a thousandth are left out.
"""

from collections.abc import Callable
from inspect import signature

import numpy as np

from raypipe.contracts.estimator import Estimator

LEAST = 1e-3


def takes_weights(kind: type[Estimator]) -> bool:
    """Whether a classifier's `fit` takes weights of rows."""
    return "sample_weight" in signature(kind.fit).parameters


def fit_soft(estimator: Estimator, X: np.ndarray, probability: np.ndarray, classes: np.ndarray) -> Estimator:
    """The estimator fitted on rows [n, d] with class probabilities [n, k] of these classes [k].

    Raises
    ------
    ValueError
        If its `fit` takes no weights, or the shapes don't fit.
    """
    if not takes_weights(type(estimator)):
        raise ValueError(f"{type(estimator).__name__} can't learn class probabilities: its fit takes no weights.")
    if probability.shape != (len(X), len(classes)):
        raise ValueError(f"probabilities must be [{len(X)}, {len(classes)}], got {probability.shape}.")
    rows, numbers = np.nonzero(probability >= LEAST)
    fit: Callable[..., Estimator] = estimator.fit
    return fit(X[rows], classes[numbers], sample_weight=probability[rows, numbers])
