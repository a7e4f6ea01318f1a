"""Intervals by resampling with replacement, for statistics that have no interval in closed form.

Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile intervals).
Cost: n_resamples x n numbers in memory.
"""

from collections.abc import Callable

import numpy as np

from raypipe.arrays.intervals import Interval


def bootstrap_interval(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
    level: float = 0.95,
    n_resamples: int = 2000,
) -> Interval:
    """The middle `level` of a statistic over resamples of the first axis: values [n, ...], [r, n, ...] -> [r].

    Raises
    ------
    ValueError
        If there is nothing to resample.
    """
    if not len(values):
        raise ValueError("an interval needs at least one value, got none.")
    rows = np.random.default_rng(seed).integers(0, len(values), (n_resamples, len(values)))
    low, high = np.quantile(statistic(values[rows]), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
