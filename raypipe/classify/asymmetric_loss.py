"""A sigmoid a class: the asymmetric loss with its gradient, and how much positives weigh beside negatives.

Source: T. Ridnik et al., Asymmetric Loss For Multi-Label Classification, ICCV 2021, equations 4 to 6; the gradient
ratio as in Z. Sun et al., CQ-DINO, NeurIPS 2025, arXiv 2503.18430. With both gammas and the margin 0 it is binary
cross-entropy.
Cost: a few operations an element of [n, C].
"""

import numpy as np
from scipy.special import expit


def asymmetric_loss(
    logits: np.ndarray,
    targets: np.ndarray,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 7.0,
    margin: float = 0.05,
    counted: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and its slope by the logit, of each row and class: [n, C], bool [n, C] -> [n, C] twice.

    Positives lose (1 - p)^gamma_positive of their loss; of negatives the probability counts above the margin only, to
    the power gamma_negative. Where `counted` [n, C] is false both are 0: what is masked is the loss, not the logit.
    """
    p = expit(logits)
    miss = np.logaddexp(0.0, -logits)  # -log p
    of_positive = (1 - p) ** gamma_positive * miss
    to_positive = -((1 - p) ** gamma_positive) * (gamma_positive * p * miss + 1 - p)
    shifted = np.maximum(p - margin, 0.0)
    hit = -np.logaddexp(0.0, logits) if margin == 0 else np.log(1 - shifted)  # log(1 - p) that can't be log 0
    power = shifted**gamma_negative
    slope = power * (p if margin == 0 else p * (1 - p) / (1 - shifted))
    if gamma_negative:
        slope = slope - gamma_negative * shifted ** (gamma_negative - 1) * hit * p * (1 - p)
    slope = np.where(p > margin, slope, 0.0)
    loss, slope = np.where(targets, of_positive, -power * hit), np.where(targets, to_positive, slope)
    if counted is None:
        return loss, slope
    return np.where(counted, loss, 0.0), np.where(counted, slope, 0.0)


def gradient_ratio(slope: np.ndarray, targets: np.ndarray) -> float:
    """Gradient of positives over that of negatives, of rows that have a positive: [n, K], bool [n, K]; NaN without one.

    With C classes that all have the probability p, and one positive a row, binary cross-entropy has
    (1 - p) / ((C - 1) p): of 13,204 classes negatives drown it.
    """
    has = targets.any(axis=1)
    negative = float(np.abs(slope[has][~targets[has]]).sum())
    return float(np.abs(slope[has][targets[has]]).sum()) / negative if negative else float("nan")
