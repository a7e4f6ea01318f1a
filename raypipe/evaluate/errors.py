"""Numbers against the truth: mean absolute error, and the share of the variance explained, with bootstrap intervals.

Source: B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals, paired).
Cost: O(resamples x n).
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from raypipe.arrays.bootstrap import drawn_counts
from raypipe.evaluate.task_means import Estimate, estimate


def compare_errors(
    predicted: Mapping[str, np.ndarray], y: np.ndarray, *, ours: str, n_resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Errors of all contenders' numbers [n] for the true y [n], and how much lower `ours` are than each other's.

    `mean_absolute_error`, and `explained`: 1 less the squared error over that of the mean of y, None where y is
    constant. A difference in the absolute error is `shown` where its 95 % interval excludes 0; rows are resampled
    together for all contenders.

    Raises
    ------
    KeyError
        If `ours` isn't among the contenders.
    ValueError
        If there is no row.
    """
    if ours not in predicted:
        raise KeyError(f"the contenders {sorted(predicted)} have no {ours!r} to compare with the others.")
    if len(y) == 0:
        raise ValueError("there must be at least one row to measure on, got none.")
    absolute = {name: np.abs(numbers - y) for name, numbers in predicted.items()}
    drawn = np.concatenate(list(drawn_counts(len(y), n_resamples=n_resamples, seed=seed)))  # [b, n]
    resampled = {name: drawn @ of / len(y) for name, of in absolute.items()}
    differences = {
        name: estimate(float(absolute[ours].mean() - of.mean()), resampled[ours] - resampled[name])
        for name, of in absolute.items()
        if name != ours
    }
    return {
        "ours": ours,
        "contenders": list(predicted),
        "n": len(y),
        "mean_absolute_error": {
            name: asdict(estimate(float(of.mean()), resampled[name])) for name, of in absolute.items()
        },
        "explained": {name: explained(numbers, y, drawn) for name, numbers in predicted.items()},
        f"{ours} minus": {name: {**asdict(of), "shown": of.excludes_zero} for name, of in differences.items()},
    }


def explained(predicted: np.ndarray, y: np.ndarray, drawn: np.ndarray) -> dict[str, float] | None:
    """Share of the variance of y [n] that is explained, with its interval over resamples [b, n]; None without any."""
    if np.ptp(y) == 0:
        return None
    squared, n = (predicted - y) ** 2, len(y)
    spread = drawn @ y**2 / n - (drawn @ y / n) ** 2  # of each resample
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = np.where(spread > 0, 1 - drawn @ squared / n / spread, np.nan)
    found: Estimate = estimate(float(1 - squared.mean() / y.var()), resampled)
    return asdict(found)
