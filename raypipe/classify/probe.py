"""A probe on the states of a frozen model: a linear classifier of two classes, taught by soft labels.

States [n, d] are standardised, brought to their first principal axes and to one size, and a logistic regression with
a quadratic penalty is fitted on top: convex, so that there is one answer and no learning rate. A loss whose target
depends on the student's own predictions (auxiliary confidence, product) is met by turns: fit, make the target, fit
anew.

Source: G. Alain, Y. Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, arXiv 1610.01644; the
losses are those of C. Burns et al., arXiv 2312.09390, with their coefficients as at the end of training.
Departures: principal axes before the fit (ours): with a few of them a student can't learn a teacher's every mistake.
Cost: an SVD of [n, d], then 1 to 1 + `n_turns` fits of O(n n_axes) an iteration.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from raypipe.losses.soft_labels import SoftLoss

MIN_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Probe:
    """A fitted probe."""

    mean: np.ndarray
    """[d]"""
    axes: np.ndarray
    """[d, a]: from states less their mean to the axes, scaled."""
    weights: np.ndarray
    """[a]"""
    intercept: float

    def logits(self, X: np.ndarray) -> np.ndarray:
        """Log-odds of class 1: [n, d] -> [n]."""
        found: np.ndarray = (X - self.mean) @ self.axes @ self.weights + self.intercept
        return found

    def probability(self, X: np.ndarray) -> np.ndarray:
        """Of class 1: [n, d] -> [n]."""
        from scipy.special import expit

        return np.asarray(expit(self.logits(X)))


def fit_probe(
    X: np.ndarray, q: np.ndarray, *, loss: "SoftLoss | None" = None, n_axes: int = 32, C: float = 1.0, n_turns: int = 5
) -> Probe:
    """Learn the soft labels q [n] of class 1, in [0, 1], from states X [n, d].

    `C` is scikit-learn's: the smaller, the stronger the penalty. Without a loss it is plain cross-entropy.

    Raises
    ------
    ValueError
        If a state isn't finite, a label isn't in [0, 1], or there are no two rows that differ.
    """
    X, q = np.asarray(X, np.float64), np.asarray(q, np.float64)
    if not np.isfinite(X).all():
        raise ValueError("states must be finite.")
    if not ((q >= 0) & (q <= 1)).all():
        raise ValueError(f"soft labels must be in [0, 1], got {q.min():g} to {q.max():g}.")
    mean, axes = _principal_axes(X, n_axes)
    Z = (X - mean) @ axes
    weights, intercept = _fit(Z, q, C)
    for _ in range(n_turns):
        target = q if loss is None else _target(Z @ weights + intercept, q, loss)
        if np.array_equal(target, q):
            break
        weights, intercept = _fit(Z, target, C)
    return Probe(mean, axes, weights, intercept)


def _principal_axes(X: np.ndarray, n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and axes [d, a] of the standardised rows; along all axes together they have variance 1 an axis."""
    mean, spread = X.mean(axis=0), X.std(axis=0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9 * (np.abs(mean) + 1))
    _, sizes, V = np.linalg.svd((X - mean) * scale, full_matrices=False)
    kept = min(n_axes, int((sizes > 1e-9).sum()))
    if kept == 0:
        raise ValueError(f"a probe needs two rows that differ, got {len(X)} rows alike.")
    size = np.sqrt((sizes[:kept] ** 2).sum() / (len(X) * kept))
    axes: np.ndarray = (scale[:, None] * V[:kept].T) / size
    return mean, axes


def _fit(Z: np.ndarray, q: np.ndarray, C: float) -> tuple[np.ndarray, float]:
    """Cross-entropy to soft labels is that to both hard ones, weighted by them."""
    from sklearn.linear_model import LogisticRegression

    n = len(Z)
    doubled, hard = np.concatenate([Z, Z]), np.repeat([0, 1], n)
    weight = np.concatenate([1 - q, q])
    model = LogisticRegression(C=C, max_iter=1000, tol=1e-6).fit(doubled, hard, sample_weight=weight)
    return model.coef_[0], float(model.intercept_[0])


def _target(logits: np.ndarray, q: np.ndarray, loss: "SoftLoss") -> np.ndarray:
    """What the loss pulls towards once training is past its warm-up: [n], [n] -> [n]."""
    import torch

    soft = np.clip(q, MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    pair = torch.from_numpy(np.stack([np.zeros_like(logits), logits], axis=1))
    target: np.ndarray = loss.target(pair, torch.from_numpy(np.stack([1 - soft, soft], axis=1)), 1.0)[:, 1].numpy()
    return target
