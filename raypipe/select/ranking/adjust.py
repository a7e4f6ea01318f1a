"""What a score says beyond loss, length and compressibility: the residual of a regression on ranks.

Within a group the score's rank is regressed, by least squares, on the ranks of the regressors, and the rows are ranked
by what is left. Ranks on both sides, because influence is heavy-tailed (a few documents would decide a fit of raw
scores) and because its relation to loss and length is monotone and bent: the residual is the one behind partial rank
correlation, and doesn't change if a regressor is replaced by its logarithm. Length is the scored window's, which is
all that the score has seen.

Source: W. J. Conover and R. L. Iman, Rank Transformations as a Bridge Between Parametric and Nonparametric Statistics,
The American Statistician 35 (3), 1981.
Departures: ranks come from at most 2^20 rows of a group, a fixed sample, where there are more (error about 0.001).
Cost: O(n k^2) and a sorted table of at most 2^20 values for each column and group.
"""

from dataclasses import dataclass

import numpy as np

ADJUST_ROWS = 1 << 20
_UNIT = 1 << 20
_BLOCK_ROWS = 1 << 22  # products are at most 2^40: their int64 sum over a block can't overflow


def middle_rank(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Where values [n] stand in a sorted table [m]: [n] in [0, 1], ties in the middle of their places."""
    order = np.argsort(values)
    ranks = np.empty(len(values), np.float64)
    places = [np.searchsorted(table, values[order], side=side) for side in ("left", "right")]
    ranks[order] = (places[0] + places[1]) / (2 * len(table))
    return ranks


@dataclass(frozen=True)
class Fit:
    """A regression of y on X with an intercept."""

    intercept: float
    coefficients: np.ndarray
    """[k] float64, 0 for a constant regressor"""
    r_squared: float
    """Fraction of the variance explained, 0 if there is none"""

    def residual(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """[n, k], [n] -> [n]: what the regressors leave unexplained."""
        return np.asarray(y - self.intercept - X @ self.coefficients)


class RankRegression:
    """Gather: the normal equations of y on X, both in [0, 1].

    Values are rounded to 2^-20 and summed in integers, so that any order of updating and merging gives the same bits.
    """

    def __init__(self, n_regressors: int) -> None:
        width = n_regressors + 2
        self.moments = np.zeros((width, width), dtype=object)  # Python integers of any size

    def update(self, X: np.ndarray, y: np.ndarray) -> None:
        """Add rows: X [n, k], y [n]."""
        for start in range(0, len(y), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            centred = np.column_stack([X[block], y[block]]) - 0.5  # nearly orthogonal to the intercept
            table = np.column_stack([np.full(len(centred), _UNIT), np.rint(centred * _UNIT)]).astype(np.int64)
            self.moments = self.moments + (table.T @ table).astype(object)

    def merge(self, other: "RankRegression") -> None:
        """Add the rows of another."""
        self.moments = self.moments + other.moments

    def result(self) -> Fit:
        """The least-squares fit; if regressors are collinear, the fit with the smallest coefficients."""
        scale = max(int(self.moments[0, 0]), 1)
        moments = np.array([[int(value) / scale for value in row] for row in self.moments])
        mean = moments[0, 1:]
        covariance = moments[1:, 1:] - np.outer(mean, mean)
        slopes = np.linalg.lstsq(covariance[:-1, :-1], covariance[:-1, -1], rcond=1e-9)[0]
        variance = covariance[-1, -1]
        explained = float(slopes @ covariance[:-1, -1] / variance) if variance > 1e-12 else 0.0
        intercept = mean[-1] + 0.5 - slopes @ (mean[:-1] + 0.5)
        return Fit(float(intercept), slopes, min(max(explained, 0.0), 1.0))
