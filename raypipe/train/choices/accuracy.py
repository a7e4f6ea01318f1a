"""Exact match by task, its unweighted mean over tasks, and bootstrap intervals over cases.

Source: Lawma (arXiv 2407.16615): accuracy of each task, the mean over tasks as the headline. The percentile bootstrap
is B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
Departure: the intervals are ours. Cases are drawn, with all their rows, as rows of one case in
several tasks aren't independent; the tasks are taken as given.
An accuracy of exactly 0 or 1, of which all resamples are alike, has Wilson's interval, of the cases as trials.
Cost: O(resamples x cases x tasks) in products of matrices; [cases, tasks] float64 for each contender.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.arrays.intervals import wilson_interval
from raypipe.train.choices.question import Question

LEVEL = 0.95
CHUNK = 200
"""Resamples computed together."""


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
class Accuracies:
    """Of several contenders on the same questions; `c` contenders, `b` resamples."""

    tasks: tuple[str, ...]
    point: np.ndarray  # [c, tasks]
    resampled: np.ndarray  # [b, c, tasks]; NaN where a resample has no row of a task
    n_cases: np.ndarray  # [tasks]

    def of_task(self, contender: int, task: int) -> Estimate:
        """Accuracy in a task."""
        point = float(self.point[contender, task])
        return _certain(point, self.n_cases[task]) or _estimate(point, self.resampled[:, contender, task])

    def mean(self, contender: int) -> Estimate:
        """The unweighted mean over tasks."""
        point = float(self.point[contender].mean())
        return _certain(point, self.n_cases.max()) or _estimate(point, np.nanmean(self.resampled[:, contender], axis=1))

    def difference(self, contender: int, other: int, task: int | None = None) -> Estimate:
        """How much better a contender is than another, in a task or in the mean over tasks; resampled together."""
        point = self.point[contender] - self.point[other]
        resampled = self.resampled[:, contender] - self.resampled[:, other]
        if task is not None:
            return _estimate(point[task], resampled[:, task])
        return _estimate(point.mean(), np.nanmean(resampled, axis=1))


def is_right(questions: Sequence[Question], given: Sequence[str | None]) -> np.ndarray:
    """[n] bool: whether an answer is one of those accepted."""
    return np.array([answer in question.answers for question, answer in zip(questions, given, strict=True)], bool)


def accuracies(
    questions: Sequence[Question],
    given: Mapping[str, Sequence[str | None]],
    weights: np.ndarray,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Accuracies:
    """Accuracy of each contender's answers in each task, a question counting as often as its weight [n] says.

    Raises
    ------
    ValueError
        If there is no question.
    """
    if not questions:
        raise ValueError("there must be at least one question to measure on, got none.")
    tasks, task = np.unique([question.task for question in questions], return_inverse=True)
    cases, case = np.unique([question.case for question in questions], return_inverse=True)
    counted = _sums(weights, case, task, shape=(len(cases), len(tasks)))
    right = [_sums(weights * is_right(questions, of), case, task, shape=counted.shape) for of in given.values()]
    rng, parts = np.random.default_rng(seed), []
    for begin in range(0, n_resamples, CHUNK):
        size = min(CHUNK, n_resamples - begin)
        drawn = rng.multinomial(len(cases), np.full(len(cases), 1 / len(cases)), size=size).astype(np.float64)
        n = drawn @ counted
        with np.errstate(invalid="ignore"):  # a resample without a row of a task has no accuracy there
            parts.append(np.stack([drawn @ of / n for of in right], axis=1))
    point = np.stack([of.sum(axis=0) / counted.sum(axis=0) for of in right])
    return Accuracies(tuple(tasks.tolist()), point, np.concatenate(parts), (counted > 0).sum(axis=0))


def _sums(values: np.ndarray, case: np.ndarray, task: np.ndarray, *, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape)
    np.add.at(out, (case, task), values)
    return out


def _certain(point: float, n_cases: int) -> Estimate | None:
    """An accuracy of which no resample differs, with an interval from the number of cases; None for any other."""
    return Estimate(point, *wilson_interval(point, int(n_cases), level=LEVEL)) if point in (0.0, 1.0) else None


def _estimate(point: float, resampled: np.ndarray) -> Estimate:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    return Estimate(float(point), float(low), float(high))
