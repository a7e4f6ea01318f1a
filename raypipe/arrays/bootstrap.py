"""Intervals by resampling with replacement, for statistics that have no interval in closed form.

Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile intervals).
Cost: n_resamples x n numbers in memory.
"""

from collections.abc import Callable, Iterator

import numpy as np

from raypipe.arrays.intervals import Interval

CHUNK = 200
"""Resamples drawn together."""


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


def drawn_counts(n: int, *, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n things is drawn in resamples of n: [b, n] float64 each, for products with what they hold."""
    rng = np.random.default_rng(seed)
    for begin in range(0, n_resamples, CHUNK):
        size = min(CHUNK, n_resamples - begin)
        yield rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
