"""Means of a value by task, their unweighted mean over tasks, and bootstrap intervals over cases.

Source: accuracy of each task and the mean over tasks as the headline: Lawma (arXiv 2407.16615). The percentile
bootstrap is B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
Departure: the intervals are ours. Cases are drawn, with all their rows, as rows of one case in
several tasks aren't independent; the tasks are taken as given.
An accuracy of exactly 0 or 1, of which all resamples are alike, has Wilson's interval, of the cases as trials.
Cost: O(resamples x cases x tasks) in products of matrices; [cases, tasks] float64 for each contender.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.arrays.bootstrap import drawn_counts
from raypipe.arrays.intervals import wilson_interval

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and the interval that holds 95 % of its bootstrap resamples."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is shown: 0 is outside the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class TaskMeans:
    """Of several contenders on the same rows; `c` contenders, `b` resamples."""

    tasks: tuple[str, ...]
    point: np.ndarray  # [c, tasks]
    resampled: np.ndarray  # [b, c, tasks]; NaN where a resample has no row of a task
    n_cases: np.ndarray  # [tasks]
    is_proportion: bool
    """Of rights and wrongs, which have an interval where all are alike."""

    def of_task(self, contender: int, task: int) -> Estimate:
        """The mean in a task."""
        point = float(self.point[contender, task])
        return self._certain(point, self.n_cases[task]) or estimate(point, self.resampled[:, contender, task])

    def mean(self, contender: int) -> Estimate:
        """The unweighted mean over tasks."""
        point = float(self.point[contender].mean())
        resampled = np.nanmean(self.resampled[:, contender], axis=1)
        return self._certain(point, self.n_cases.max()) or estimate(point, resampled)

    def difference(self, contender: int, other: int, task: int | None = None) -> Estimate:
        """How much higher a contender is than another, in a task or in the mean over tasks; resampled together."""
        point = self.point[contender] - self.point[other]
        resampled = self.resampled[:, contender] - self.resampled[:, other]
        if task is not None:
            return estimate(point[task], resampled[:, task])
        return estimate(point.mean(), np.nanmean(resampled, axis=1))

    def _certain(self, point: float, n_cases: int) -> Estimate | None:
        """An accuracy of which no resample differs, with an interval from the number of cases; None for any other."""
        if not self.is_proportion or point not in (0.0, 1.0):
            return None
        return Estimate(point, *wilson_interval(point, int(n_cases), level=LEVEL))


def task_means(
    values: np.ndarray,
    *,
    task: Sequence[str],
    case: Sequence[str],
    weights: np.ndarray | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> TaskMeans:
    """Means of values [c, n] by the task [n] of their rows, which count as often as their weights [n] say.

    Raises
    ------
    ValueError
        If there is no row, or not a task, case and weight for each.
    """
    n = values.shape[1]
    weights = np.ones(n) if weights is None else weights
    if n == 0:
        raise ValueError("there must be at least one row to measure on, got none.")
    if not n == len(task) == len(case) == len(weights):
        raise ValueError(f"{n} rows must have a task, a case and a weight each, got {len(task)}, {len(case)}, "
                         f"{len(weights)}.")  # fmt: skip
    tasks, task_of = np.unique(np.asarray(task, str), return_inverse=True)
    cases, case_of = np.unique(np.asarray(case, str), return_inverse=True)
    counted = _sums(weights, case_of, task_of, shape=(len(cases), len(tasks)))
    sums = [_sums(weights * of, case_of, task_of, shape=counted.shape) for of in values]
    parts = []
    for drawn in drawn_counts(len(cases), n_resamples=n_resamples, seed=seed):
        size = drawn @ counted
        with np.errstate(invalid="ignore"):  # a resample without a row of a task has no mean there
            parts.append(np.stack([drawn @ of / size for of in sums], axis=1))
    point = np.stack([of.sum(axis=0) / counted.sum(axis=0) for of in sums])
    n_cases = (counted > 0).sum(axis=0)
    return TaskMeans(tuple(tasks.tolist()), point, np.concatenate(parts), n_cases, values.dtype == np.bool_)


def _sums(values: np.ndarray, case: np.ndarray, task: np.ndarray, *, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape)
    np.add.at(out, (case, task), values)
    return out


def estimate(point: float, resampled: np.ndarray) -> Estimate:
    """A number with the middle 95 % of its resamples [b]; NaN among them is left out."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    return Estimate(float(point), float(low), float(high))
