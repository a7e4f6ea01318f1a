"""How well a score tells members from others: area under the ROC curve, and its height where few others pass.

Source: J. Hanley and B. McNeil, The Meaning and Use of the Area under a ROC Curve, Radiology 143, 1982: the area is the
chance that a member scores above another, ties counting half; variance by E. DeLong et al., Biometrics 44, 1988.
Cost: O(n log n).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from raypipe.arrays.intervals import Interval
from raypipe.arrays.ranks import share_below


@dataclass(frozen=True)
class Area:
    """Area under a ROC curve."""

    auroc: float
    """0.5: the score says nothing; 1: every member is above every other."""
    error: float
    """Standard error; 0 where members and others don't overlap, of which it then says too little."""
    n_members: int
    n_others: int

    def interval(self, *, level: float = 0.95) -> Interval:
        """The normal interval, cut to [0, 1]."""
        half = float(stats.norm.ppf((1 + level) / 2)) * self.error
        return max(0.0, self.auroc - half), min(1.0, self.auroc + half)

    @property
    def null_error(self) -> float:
        """Standard error of the area of a score that says nothing, without ties."""
        return float(np.sqrt((self.n_members + self.n_others + 1) / (12 * self.n_members * self.n_others)))


def auroc(score: np.ndarray, is_member: np.ndarray) -> Area:
    """The area of score [n] for is_member [n] bool; higher scores are to mean members.

    >>> import numpy as np
    >>> area = auroc(np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False]))
    >>> area.auroc, area.n_members
    (0.75, 2)

    Raises
    ------
    ValueError
        If there are no members or no others, or a score is NaN.
    """
    members, others = _apart(score, is_member)
    m, n = len(members), len(others)
    above = share_below(members, others)
    below = 1 - share_below(others, members)  # [n] share of the members above each other
    variance = (above.var(ddof=1) / m if m > 1 else 0.0) + (below.var(ddof=1) / n if n > 1 else 0.0)
    return Area(float(above.mean()), float(np.sqrt(variance)), m, n)


def tpr_at_fpr(score: np.ndarray, is_member: np.ndarray, *, max_fpr: float = 0.05) -> float:
    """Share of the members that pass the lowest threshold which at most `max_fpr` of the others pass.

    >>> import numpy as np
    >>> tpr_at_fpr(np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False]), max_fpr=0.0)
    0.5

    Raises
    ------
    ValueError
        As `auroc` does, or if max_fpr isn't in [0, 1].
    """
    if not 0 <= max_fpr <= 1:
        raise ValueError(f"max_fpr must be in [0, 1], got {max_fpr}.")
    members, others = _apart(score, is_member)
    thresholds = np.unique(np.concatenate([members, others]))
    passing = 1 - np.searchsorted(np.sort(others), thresholds, side="left") / len(others)
    allowed = thresholds[passing <= max_fpr + 1e-12]
    return float((members >= allowed.min()).mean()) if len(allowed) else 0.0


def _apart(score: np.ndarray, is_member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if score.shape != is_member.shape or not is_member.any() or is_member.all() or np.isnan(score).any():
        raise ValueError(
            f"there must be members and others with a score each that isn't NaN, got {int(is_member.sum())} of "
            f"{len(is_member)} and {int(np.isnan(score).sum())} NaN among {len(score)} scores."
        )
    return score[is_member], score[~is_member]
