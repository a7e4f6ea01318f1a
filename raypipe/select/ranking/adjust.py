"""What a score says beyond loss, length and compressibility: the residual of a regression on ranks.

Within a group the score's rank is regressed, by least squares, on the ranks of the regressors, and the rows are ranked
by what is left. Ranks on both sides, because influence is heavy-tailed (a few documents would decide a fit of raw
scores) and because its relation to loss and length is monotone and bent: the residual is the one behind partial rank
correlation, and doesn't change if a regressor is replaced by its logarithm. Length is the scored window's, which is
all that the score has seen.

Source: W. J. Conover and R. L. Iman, Rank Transformations as a Bridge Between Parametric and Nonparametric Statistics,
The American Statistician 35 (3), 1981.
Departures: of a group of more than 2^20 rows ranks come from a table of that many sampled values, with all rows counted
between them (rank_table.py, wrong by about 1e-5); `Fit.most_moved` bounds what that can change.
Cost: O(n k^2) and a table of at most 2^20 values for each column and group.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.select.ranking.rank_table import RankTable

ADJUST_ROWS = 1 << 20
_UNIT = 1 << 20
_BLOCK_ROWS = 1 << 22  # products are at most 2^40: their int64 sum over a block can't overflow


MAX_SPREAD = 12**-0.5
"""Standard deviation of ranks without ties; ties in the middle make it smaller."""


@dataclass(frozen=True)
class Fit:
    """A regression of y on X with an intercept."""

    intercept: float
    coefficients: np.ndarray
    """[k] float64, 0 for a constant regressor"""
    r_squared: float
    """Fraction of the variance explained, 0 if there is none"""
    covariance: np.ndarray
    """[k, k] float64, of the regressors"""

    def residual(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """[n, k], [n] -> [n]: what the regressors leave unexplained."""
        return np.asarray(y - self.intercept - X @ self.coefficients)

    def most_moved(self, y: RankTable, X: Sequence[RankTable]) -> float:
        """How far, at most, the residuals of two rows can have come to lie nearer or farther for want of exact ranks.

        Ranks that are each wrong by e move a residual by e(y) + sum |coefficient| e(x). The coefficients move too: by
        the normal equations the change d of them solves C d = Dc - E b, with E and Dc the errors of the covariances,
        each at most s(i) / sqrt(12) + s(j) / sqrt(12) + s(i) s(j), for s the root mean squares of the errors. That
        moves the gap between two residuals by |X_i - X_j| |d| <= sqrt(k) |d|. Infinite where the errors could make
        the regressors collinear; 0 where every rank is exact.
        """
        errors = np.array([table.max_error for table in X])
        if not (y.max_error or errors.any()):
            return 0.0
        rounding = 1 / _UNIT
        own = y.max_error + rounding + np.abs(self.coefficients) @ (errors + rounding)
        return float(2 * own + np.sqrt(len(X)) * self._coefficients_moved(y, X, rounding))

    def _coefficients_moved(self, y: RankTable, X: Sequence[RankTable], rounding: float) -> float:
        """The length that the change of the coefficients can have."""
        varies = np.diag(self.covariance) > 1e-12  # a constant regressor has no part in either fit
        if not varies.any():
            return 0.0
        s = np.array([table.rms_error + rounding for table in X])[varies]
        s_y = y.rms_error + rounding
        wrong = MAX_SPREAD * (s[:, None] + s) + s[:, None] * s
        wrong_y = MAX_SPREAD * (s + s_y) + s * s_y
        least = np.linalg.eigvalsh(self.covariance[np.ix_(varies, varies)])[0] - np.linalg.norm(wrong)
        if least <= 0:
            return float("inf")
        moved = np.linalg.norm(wrong_y) + np.linalg.norm(wrong) * np.linalg.norm(self.coefficients)
        return float(moved / least)


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
        return Fit(float(intercept), slopes, min(max(explained, 0.0), 1.0), covariance[:-1, :-1])
