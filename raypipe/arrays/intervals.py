"""Intervals of proportions, which never leave [0, 1].

Source: E. B. Wilson, Probable Inference, JASA 22, 1927. Over seeds or other clusters the number of trials is the
effective one, p (1 - p) / se^2, and the quantile Student's t: N. Dean and M. Pagano, Evaluating Confidence Interval
Methods for Binomial Proportions in Clustered Surveys, J. Survey Statistics and Methodology 3, 2015.
"""

import numpy as np

Interval = tuple[float, float]


def wilson_interval(proportion: float, n: float, *, level: float = 0.95, quantile: float | None = None) -> Interval:
    """The proportions that n trials with this outcome don't speak against, by a normal `quantile` unless given.

    Raises
    ------
    ValueError
        If the proportion isn't in [0, 1], or n isn't above 0.
    """
    from scipy import stats

    if not 0 <= proportion <= 1 or not n > 0:
        raise ValueError(f"a proportion in [0, 1] of more than 0 trials is needed, got {proportion} of {n}.")
    t = float(stats.norm.ppf((1 + level) / 2)) if quantile is None else quantile
    share = t * t / n
    middle = (proportion + share / 2) / (1 + share)
    half = t / (1 + share) * np.sqrt(proportion * (1 - proportion) / n + share / (4 * n))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def mean_proportion_interval(proportions: np.ndarray, *, level: float = 0.95) -> Interval | None:
    """The interval of the mean of some runs' proportions [s], over runs; None with fewer than two.

    Runs that all came out alike say nothing of a spread: the interval then has no width.
    """
    from scipy import stats

    if len(proportions) < 2:
        return None
    mean, error = float(proportions.mean()), float(proportions.std(ddof=1) / np.sqrt(len(proportions)))
    if error < 1e-12:
        return mean, mean
    t = float(stats.t.ppf((1 + level) / 2, len(proportions) - 1))
    return wilson_interval(mean, mean * (1 - mean) / error**2, quantile=t)
