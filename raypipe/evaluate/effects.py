"""Effects of one treatment against another, paired over seeds: intervals, Holm's correction, seeds that are needed.

Source: Student's paired t; S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scand. J. Statistics 6,
1979; power of the t test by the noncentral t distribution (J. Cohen, Statistical Power Analysis, 1988, chapter 2).
Cost: O(s) for s seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POWER = 0.8
MAX_SEEDS = 100_000


@dataclass(frozen=True)
class Effect:
    """What differs, on average over seeds."""

    mean: float
    low: float
    """Of the interval."""
    high: float
    n: int
    """Seeds."""
    spread: float
    """Standard deviation of the differences."""
    p: float
    """Two-sided, of no difference."""


def paired_effect(treated: Sequence[float], control: Sequence[float], *, level: float = 0.95) -> Effect:
    """Mean of treated - control over seeds, [s] and [s], with Student's interval.

    Differences that are all alike have an interval of no width, and p 0, or 1 if they are 0.

    >>> found = paired_effect([0.8, 0.9, 0.7], [0.6, 0.8, 0.5])
    >>> [round(float(end), 3) for end in (found.mean, found.low, found.high)]
    [0.167, 0.023, 0.31]

    Raises
    ------
    ValueError
        If the two aren't paired, or there are fewer than two seeds.
    """
    from scipy import stats

    if len(treated) != len(control) or len(treated) < 2:
        raise ValueError(
            f"an effect needs the same two or more seeds on both sides, got {len(treated)} and {len(control)}."
        )
    differences = np.asarray(treated, dtype=float) - np.asarray(control, dtype=float)
    n, mean, spread = len(differences), float(differences.mean()), float(differences.std(ddof=1))
    error = spread / np.sqrt(n)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error > 0 else float(mean == 0)
    return Effect(mean, mean - half, mean + half, n, spread, p)


def holm(p: Sequence[float]) -> np.ndarray:
    """p values corrected for their number by Holm's procedure: [m] -> [m], each at least what it was.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (len(values) - np.arange(len(values)))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def holm_level(p: Sequence[float], *, level: float = 0.95) -> np.ndarray:
    """Level of each effect's interval, [m], such that it excludes zero exactly where Holm's procedure rejects.

    The effect with the smallest p has Bonferroni's; from the first one that isn't rejected on, all share that one's.
    """
    values, alpha = np.asarray(p, dtype=float), 1 - level
    order = np.argsort(values, kind="stable")
    levels, is_open = np.empty_like(values), True
    step = alpha
    for rank, at in enumerate(order):
        if is_open:
            step = alpha / (len(values) - rank)
            is_open = bool(values[at] <= step)
        levels[at] = 1 - step
    return levels


def seeds_needed(effect: float, spread: float, *, level: float = 0.95, power: float = POWER) -> int | None:
    """Fewest paired seeds with which a t test sees this effect as often as `power` says; None beyond MAX_SEEDS.

    Raises
    ------
    ValueError
        If the spread is negative.
    """
    if spread < 0:
        raise ValueError(f"spread must be at least 0, got {spread}.")
    if effect == 0:
        return None
    if spread == 0:
        return 2
    low, high = 2, 2
    while _power(abs(effect) / spread, high, level) < power:
        low, high = high, 2 * high
        if high > MAX_SEEDS:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(abs(effect) / spread, middle, level) >= power else (middle + 1, high)
    return high


def _power(size: float, n: int, level: float) -> float:
    """How often a two-sided t test over n pairs sees an effect of so many standard deviations."""
    from scipy import stats

    bar, centre = stats.t.ppf((1 + level) / 2, n - 1), size * np.sqrt(n)
    seen = float(stats.nct.sf(bar, n - 1, centre) + stats.nct.cdf(-bar, n - 1, centre))
    return seen if np.isfinite(seen) else 1.0  # far beyond the bar scipy has no digits left
