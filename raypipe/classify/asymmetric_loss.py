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
    weighed = np.ones_like(targets) if counted is None else counted
    loss, slope = np.zeros_like(p), np.zeros_like(p)
    own, hard = targets & weighed, ~targets & weighed & (p > margin)  # what is neither has 0 of both
    miss, q = np.logaddexp(0.0, -logits[own]), 1 - p[own]  # -log p
    loss[own] = q**gamma_positive * miss
    slope[own] = -(q**gamma_positive) * (gamma_positive * p[own] * miss + q)
    p, shifted = p[hard], p[hard] - margin
    hit = -np.logaddexp(0.0, logits[hard]) if margin == 0 else np.log(1 - shifted)  # log(1 - p) that can't be log 0
    loss[hard] = -(shifted**gamma_negative) * hit
    slope[hard] = shifted**gamma_negative * (p if margin == 0 else p * (1 - p) / (1 - shifted))
    if gamma_negative:
        slope[hard] -= gamma_negative * shifted ** (gamma_negative - 1) * hit * p * (1 - p)
    return loss, slope


def gradient_ratio(slope: np.ndarray, targets: np.ndarray) -> float:
    """Gradient of positives over that of negatives, of rows that have a positive: [n, K], bool [n, K]; NaN without one.

    With C classes that all have the probability p, and one positive a row, binary cross-entropy has
    (1 - p) / ((C - 1) p): of 13,204 classes negatives drown it.
    """
    has = targets.any(axis=1)
    negative = float(np.abs(slope[has][~targets[has]]).sum())
    return float(np.abs(slope[has][targets[has]]).sum()) / negative if negative else float("nan")
