"""Candidates for labelling functions of two classes: a stump and a logistic regression of each feature, by itself.

Source: P. Varma and C. Re, Snuba, VLDB 2018, section 3.1 (heuristics over subsets of features, here of one) and 3.1.2
(the band in which a heuristic abstains); the ten bands are those of the public code of N. Roberts et al.,
AutoWS-Bench-101, NeurIPS 2022.
Departures: all features are fitted at once, by sorting and by Newton's steps, instead of one scikit-learn model each.
Cost: O(n d log n) to fit, O(n d) to ask.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from raypipe.label.votes import ABSTAIN, Votes

BANDS = np.linspace(0.25, 0.45, 10)
"""By how much a probability must be off 1/2 for a vote."""
NEWTON_STEPS = 15


@dataclass(frozen=True)
class FeatureModels:
    """2 d models of one feature each, first the stumps, then the regressions."""

    threshold: np.ndarray  # [d]
    leaves: np.ndarray  # [2, d] share of class 1 up to the threshold, and above
    mean: np.ndarray  # [d]
    scale: np.ndarray  # [d]
    weights: np.ndarray  # [2, d] intercept and slope

    @classmethod
    def fit(cls, X: np.ndarray, y: np.ndarray) -> Self:
        """From rows [n, d] and classes 0 or 1 [n]; each class must be there."""
        mean, spread = X.mean(axis=0), X.std(axis=0)
        scale = np.where(spread > 1e-9 * (np.abs(mean) + 1), spread, 1.0)
        return cls(*_stumps(X, y), mean, scale, _regressions((X - mean) / scale, y))

    def probability(self, X: np.ndarray) -> np.ndarray:
        """Of class 1: [n, d] -> [n, 2 d]."""
        stumps = np.where(self.threshold >= X, self.leaves[0], self.leaves[1])
        logits = self.weights[0] + self.weights[1] * (X - self.mean) / self.scale
        return np.concatenate([stumps, 1 / (1 + np.exp(-np.clip(logits, -30, 30)))], axis=1)


def votes_of(probability: np.ndarray, band: np.ndarray | float) -> Votes:
    """1 or 0 where a probability [n, m] is off 1/2 by the band [m] at least, else -1."""
    found = np.where(probability >= 0.5 + band, 1, np.where(probability <= 0.5 - band, 0, ABSTAIN))
    return found.astype(np.int8)


def best_bands(probability: np.ndarray, y: np.ndarray) -> np.ndarray:
    """For each candidate the band [m] with the highest weighted F1 on labelled rows, the first of equals."""
    scores = np.stack([weighted_f1(votes_of(probability, band), y) for band in BANDS])
    found: np.ndarray = BANDS[scores.argmax(axis=0)]
    return found


def weighted_f1(votes: Votes, y: np.ndarray) -> np.ndarray:
    """F1 of each class, weighed by its share of the rows; an abstention finds nothing: [n, m], [n] -> [m]."""
    total = np.zeros(votes.shape[1])
    for label in (0, 1):
        is_there, said = y == label, votes == label
        right = (said & is_there[:, None]).sum(axis=0)
        total += is_there.mean() * 2 * right / np.maximum(said.sum(axis=0) + is_there.sum(), 1)
    return total


def _stumps(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threshold [d] of the lowest Gini impurity, and the share of class 1 on both sides [2, d]."""
    n, d = X.shape
    order = np.argsort(X, axis=0, kind="stable")
    values, ones = np.take_along_axis(X, order, axis=0), np.cumsum(y[order], axis=0)  # [n, d]
    below = np.arange(1, n)[:, None]
    left, right = ones[:-1] / below, (ones[-1] - ones[:-1]) / (n - below)
    impurity = below * left * (1 - left) + (n - below) * right * (1 - right)
    impurity = np.where(values[1:] > values[:-1], impurity, np.inf)
    best, columns = impurity.argmin(axis=0), np.arange(d)
    is_split = np.isfinite(impurity[best, columns])
    leaves = np.where(is_split, np.stack([left[best, columns], right[best, columns]]), y.mean())
    return (values[best, columns] + values[best + 1, columns]) / 2, leaves


def _regressions(Z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Intercepts and slopes [2, d] of logistic regressions of one scaled feature, with a penalty of slope^2 / 2."""
    a, b = np.zeros(Z.shape[1]), np.zeros(Z.shape[1])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(a + b * Z, -30, 30)))
        w = np.maximum(p * (1 - p), 1e-6)
        gradient = (p - y[:, None]).sum(axis=0), ((p - y[:, None]) * Z).sum(axis=0) + b
        aa, ab, bb = w.sum(axis=0), (w * Z).sum(axis=0), (w * Z**2).sum(axis=0) + 1
        determinant = np.maximum(aa * bb - ab**2, 1e-9)
        a = a - (bb * gradient[0] - ab * gradient[1]) / determinant
        b = b - (aa * gradient[1] - ab * gradient[0]) / determinant
    return np.stack([a, b])
