"""Mean and scale of columns, for methods that bring them to one size."""

import numpy as np


def mean_and_scale(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of rows [n, d]: the mean [d], and the standard deviation [d] or 1 of a column that doesn't vary.

    The deviation of equal numbers is a rounding error, not 0; divided by it, the least change would decide everything.
    """
    mean, spread = X.mean(axis=0), X.std(axis=0)
    return mean, scale_of(spread, mean)


def scale_of(spread: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The spread of columns [d], 1 where it is a rounding error beside their mean."""
    found: np.ndarray = np.where(spread > 1e-9 * (np.abs(mean) + 1), spread, 1.0)
    return found
