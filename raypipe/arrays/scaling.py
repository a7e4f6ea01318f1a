"""Mean and scale of columns, for methods that bring them to one size."""

import numpy as np


def mean_and_scale(X: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Of rows [n, d], counted by weights [n]: the mean [d], and the standard deviation [d], 1 of a constant column.

    The deviation of equal numbers is a rounding error, not 0; divided by it, the least change would decide everything.

    Raises
    ------
    ValueError
        If there isn't a weight a row, or all are zero.
    """
    if weight is None:
        mean, spread = X.mean(axis=0), X.std(axis=0)
    else:
        weight = np.asarray(weight, np.float64)  # what estimators take for an array may be none
        if weight.shape != (len(X),) or not weight.any():
            raise ValueError(
                f"weights must be a number a row, not all of them zero, got {weight.shape} for {len(X):,} rows."
            )
        mean = np.average(X, axis=0, weights=weight)
        spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    return mean, scale_of(spread, mean)


def scale_of(spread: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The spread of columns [d], 1 where it is a rounding error beside their mean."""
    found: np.ndarray = np.where(spread > 1e-9 * (np.abs(mean) + 1), spread, 1.0)
    return found
