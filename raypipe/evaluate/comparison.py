"""Contenders on the same rows as one table: a line a task and the mean, plain and on the natural distribution.

Source: R. Dominguez-Olmedo et al., Lawma, arXiv 2407.16615 (accuracy by task, and its mean); the intervals are those of
task_means.
Cost: twice that of task_means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from raypipe.evaluate.task_means import TaskMeans, task_means

Json = dict[str, Any]


def compare(
    right: Mapping[str, np.ndarray],
    *,
    task: Sequence[str],
    case: Sequence[str],
    label: Sequence[str],
    ours: str,
    weights: np.ndarray | None = None,
    seed: int = 0,
    n_resamples: int = 2000,
) -> Json:
    """Accuracies of all contenders, and how much better `ours` is than each other, with 95 % intervals.

    From what each got right, [n] bool, on rows of a task, case and true label each. `accuracy` is that of the rows as
    they are, `natural` that of the distribution that the weights [n] stand for. A difference is `shown` where its
    interval excludes 0.

    Raises
    ------
    KeyError
        If `ours` isn't among the contenders.
    ValueError
        If there is no row.
    """
    if ours not in right:
        raise KeyError(f"the contenders {sorted(right)} have no {ours!r} to compare with the others.")
    names, values = list(right), np.stack(list(right.values()))
    weights = np.ones(values.shape[1]) if weights is None else weights
    plain, natural = (
        task_means(values, task=task, case=case, weights=of, n_resamples=n_resamples, seed=seed)
        for of in (np.ones(len(weights)), weights)
    )
    others = [name for name in names if name != ours]
    tasks = {
        name: {
            **_sizes(np.array(task) == name, np.array(case), np.array(label), weights),
            "accuracy": {who: asdict(plain.of_task(at, number)) for at, who in enumerate(names)},
            "natural": {who: asdict(natural.of_task(at, number)) for at, who in enumerate(names)},
            f"{ours} minus": {who: _difference(plain, names, ours, who, number) for who in others},
        }
        for number, name in enumerate(plain.tasks)
    }
    mean = {
        "n": len(task),
        "accuracy": {who: asdict(plain.mean(at)) for at, who in enumerate(names)},
        "natural": {who: asdict(natural.mean(at)) for at, who in enumerate(names)},
        f"{ours} minus": {who: _difference(plain, names, ours, who) for who in others},
    }
    return {"ours": ours, "contenders": names, "mean_over_tasks": mean, "tasks": tasks}


def _sizes(rows: np.ndarray, case: np.ndarray, label: np.ndarray, weights: np.ndarray) -> Json:
    return {
        "n": int(rows.sum()),
        "n_natural": round(float(weights[rows].sum())),
        "n_cases": len(np.unique(case[rows])),
        "n_classes": len(np.unique(label[rows])),
    }


def _difference(found: TaskMeans, names: list[str], ours: str, other: str, task: int | None = None) -> Json:
    estimate = found.difference(names.index(ours), names.index(other), task)
    return {**asdict(estimate), "shown": estimate.excludes_zero}
