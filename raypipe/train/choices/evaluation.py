"""Contenders on the test questions as one table: a row a task and the mean, plain and on the natural distribution."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from raypipe.train.choices.accuracy import Accuracies, Estimate, accuracies
from raypipe.train.choices.question import Question

Json = dict[str, Any]


def evaluate(
    questions: Sequence[Question],
    given: Mapping[str, Sequence[str | None]],
    weights: np.ndarray,
    *,
    ours: str,
    seed: int = 0,
    n_resamples: int = 2000,
) -> Json:
    """Accuracies of all contenders, and how much better `ours` is than each other, with 95 % intervals.

    `accuracy` is that of the questions as they are, `natural` that of the distribution before the class cap, by the
    weights [n]. A difference is `shown` where its interval excludes 0.

    Raises
    ------
    KeyError
        If `ours` isn't among the contenders.
    """
    if ours not in given:
        raise KeyError(f"the contenders {sorted(given)} have no {ours!r} to compare with the others.")
    names = list(given)
    plain, natural = (
        accuracies(questions, given, of, n_resamples=n_resamples, seed=seed) for of in (np.ones(len(weights)), weights)
    )
    others = [name for name in names if name != ours]
    tasks = {
        task: {
            **_sizes(questions, weights, task),
            "accuracy": {name: asdict(plain.of_task(at, number)) for at, name in enumerate(names)},
            "natural": {name: asdict(natural.of_task(at, number)) for at, name in enumerate(names)},
            f"{ours} minus": {name: _difference(plain, names, ours, name, number) for name in others},
        }
        for number, task in enumerate(plain.tasks)
    }
    mean = {
        "n": len(questions),
        "accuracy": {name: asdict(plain.mean(at)) for at, name in enumerate(names)},
        "natural": {name: asdict(natural.mean(at)) for at, name in enumerate(names)},
        f"{ours} minus": {name: _difference(plain, names, ours, name) for name in others},
    }
    return {"ours": ours, "contenders": names, "mean_over_tasks": mean, "tasks": tasks}


def _sizes(questions: Sequence[Question], weights: np.ndarray, task: str) -> Json:
    rows = [at for at, question in enumerate(questions) if question.task == task]
    classes = Counter(questions[at].answers[0] for at in rows)
    return {
        "n": len(rows),
        "n_natural": round(float(weights[rows].sum())),
        "n_cases": len({questions[at].case for at in rows}),
        "n_classes": len(classes),
    }


def _difference(found: Accuracies, names: list[str], ours: str, other: str, task: int | None = None) -> Json:
    estimate: Estimate = found.difference(names.index(ours), names.index(other), task)
    return {**asdict(estimate), "shown": estimate.excludes_zero}
