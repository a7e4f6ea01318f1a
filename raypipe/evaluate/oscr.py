"""Open-set classification rate: known classes told apart and unknown ones refused, in one number.

Source: A. Dhamija et al., Reducing Network Agnostophobia, NeurIPS 2018, section 4: the correct classification rate of
the known against the false positive rate of the unknown, over all thresholds of the familiarity; here the area under
that curve, with straight lines between its points.
The interval is DeLong's, as of any mean over pairs of a known and an unknown row (Biometrics 44, 1988).
Cost: O(n log n).
"""

import numpy as np

from raypipe.arrays.ranks import share_below
from raypipe.evaluate.task_means import Estimate


def oscr(known: np.ndarray, is_right: np.ndarray, unknown: np.ndarray) -> float:
    """Area from the familiarity of known rows [n], whether each was classified rightly [n], and of unknown rows [m].

    Higher is more familiar. In [0, accuracy]: the chance that a known row is classified rightly and scores above an
    unknown one, a tie half.

    >>> import numpy as np
    >>> oscr(np.array([3.0, 2.0]), np.array([True, False]), np.array([1.0, 2.5]))
    0.5

    Raises
    ------
    ValueError
        If there are no known or no unknown rows, shapes differ, or a score is NaN.
    """
    if known.shape != is_right.shape or not len(known) or not len(unknown):
        raise ValueError(
            f"there must be known rows, each right or wrong, and unknown ones, got {len(known)}, {len(is_right)} "
            f"and {len(unknown)}."
        )
    if np.isnan(known).any() or np.isnan(unknown).any():
        raise ValueError("a familiarity must be a number, got NaN.")
    return float(share_below(known[is_right], unknown).sum() / len(known))


def oscr_estimate(known: np.ndarray, is_right: np.ndarray, unknown: np.ndarray) -> Estimate:
    """The area with its normal 95 % interval, cut to [0, 1]; raises as `oscr` does."""
    area, n, m = oscr(known, is_right, unknown), len(known), len(unknown)
    of_known = np.where(is_right, share_below(known, unknown), 0.0)
    of_unknown = (1 - share_below(unknown, known[is_right])) * is_right.mean() if is_right.any() else np.zeros(m)
    variance = (of_known.var(ddof=1) / n if n > 1 else 0.0) + (of_unknown.var(ddof=1) / m if m > 1 else 0.0)
    half = 1.959964 * float(np.sqrt(variance))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half))


def familiarity_threshold(known: np.ndarray, *, keep: float = 0.95) -> float:
    """The familiarity that at least the share `keep` of known rows [n], which weren't learned from, reaches.

    Raises
    ------
    ValueError
        If there is no row, or keep isn't in (0, 1].
    """
    if not len(known) or not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], of at least one known row, got {keep} of {len(known)}.")
    return float(np.sort(known)[int(np.floor((1 - keep) * len(known) + 1e-9))])
