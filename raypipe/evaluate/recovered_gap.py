"""Performance gap recovered (PGR): how much of the way from weak to ceiling a weakly taught model comes.

Source: C. Burns et al., Weak-to-Strong Generalization, arXiv 2312.09390, section 3.
Departures: where ceiling and weak lie closer together than three standard errors there is no PGR, as it would be noise
over noise; the ratio is of mean accuracies over seeds, with Fieller's interval (E. C. Fieller, Some Problems in
Interval Estimation, JRSS B 16, 1954), which knows that the gap is measured too.
Cost: O(s n) for s seeds and n test rows.
"""

from dataclasses import dataclass

import numpy as np

MIN_ERRORS = 3.0
"""Standard errors that ceiling must lie above weak for a PGR."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class RecoveredGap:
    """The PGR of one way of teaching, over seeds."""

    pgr: float | None
    """0: no better than the teacher, 1: the ceiling; None: the gap is too small to divide by."""
    interval: Interval | None
    """95 %, over seeds; None with one seed, or where seeds differ so much that no end can be given."""
    by_seed: list[float | None]
    """None where that seed's own gap is too small."""
    gap: float
    """Mean accuracy of the ceiling less the weak model's."""
    gap_error: float
    """Standard error of the gap, over test rows and seeds."""
    withheld: str | None
    """Why there is no PGR."""


def pgr(weak: float, student: float, ceiling: float) -> float:
    """(student - weak) / (ceiling - weak), of accuracies on the same rows.

    >>> round(pgr(0.6, 0.7, 0.8), 3)
    0.5

    Raises
    ------
    ValueError
        If ceiling and weak are equal.
    """
    if ceiling == weak:
        raise ValueError(f"ceiling and weak must differ for a gap to recover, got {weak} for both.")
    return (student - weak) / (ceiling - weak)


def recovered_gap(weak: np.ndarray, student: np.ndarray, ceiling: np.ndarray) -> RecoveredGap:
    """From what each got right, [s, n] bool each: s seeds on the same n test rows.

    Raises
    ------
    ValueError
        If shapes differ, or there is no seed or fewer than two rows.
    """
    if not weak.shape == student.shape == ceiling.shape or weak.ndim != 2 or weak.shape[0] < 1 or weak.shape[1] < 2:
        raise ValueError(
            f"weak, student and ceiling must be [seeds, rows] alike, of at least 1 seed and 2 rows, got "
            f"{weak.shape}, {student.shape} and {ceiling.shape}."
        )
    gains = student.mean(axis=1) - weak.mean(axis=1)
    gaps = ceiling.mean(axis=1) - weak.mean(axis=1)
    gap, error = float(gaps.mean()), gap_error(weak, ceiling)
    by_seed = [
        float(gains[s] / gaps[s]) if is_wide(gaps[s], gap_error(weak[s : s + 1], ceiling[s : s + 1])) else None
        for s in range(len(gaps))
    ]
    if not is_wide(gap, error):
        why = f"ceiling - weak is {gap:.3f}, less than {MIN_ERRORS:g} standard errors of {error:.3f}"
        return RecoveredGap(None, None, [None] * len(gaps), gap, error, why)
    return RecoveredGap(float(gains.mean() / gap), ratio_interval(gains, gaps), by_seed, gap, error, None)


def is_wide(gap: float, error: float) -> bool:
    """Whether a gap can be divided by."""
    return gap > 0 and gap >= MIN_ERRORS * error


def gap_error(weak: np.ndarray, ceiling: np.ndarray) -> float:
    """Standard error of ceiling less weak, [s, n] bool each, paired by row and seed.

    The variances over rows (of the means over seeds) and over seeds add up: a little counted twice, on the safe side.
    """
    difference = ceiling.astype(float) - weak.astype(float)  # [s, n]
    return float(np.hypot(_error(difference.mean(axis=0)), _error(difference.mean(axis=1))))


def ratio_interval(numerators: np.ndarray, denominators: np.ndarray, *, level: float = 0.95) -> Interval | None:
    """Fieller's interval of mean(numerators) / mean(denominators), paired: [s], [s] -> its ends.

    None with fewer than two pairs, or where the denominator's own interval reaches zero: then no finite one exists.
    """
    from scipy import stats

    n = len(numerators)
    if n < 2:
        return None
    t2 = float(stats.t.ppf((1 + level) / 2, n - 1)) ** 2
    top, bottom = float(numerators.mean()), float(denominators.mean())
    (v_top, v_both), (_, v_bottom) = np.cov(numerators, denominators) / n
    # ends are the roots r of (top - r bottom)^2 = t^2 Var(top - r bottom)
    a, b, c = bottom**2 - t2 * v_bottom, top * bottom - t2 * v_both, top**2 - t2 * v_top
    if a <= 0:
        return None
    half = float(np.sqrt(max(b * b - a * c, 0.0)))
    return float((b - half) / a), float((b + half) / a)


def _error(values: np.ndarray) -> float:
    """Standard error of a mean: [n]; 0 for one value, whose spread isn't known."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
