"""How often each task is seen: in proportion to its examples, or nearer to equally often.

Source: proportional as in Lawma (arXiv 2407.16615); shares n^(1/T) of the tasks as in C. Raffel et al., Exploring the
Limits of Transfer Learning with a Unified Text-to-Text Transformer, JMLR 2020, section 3.5.2.
"""

from collections.abc import Sequence

import numpy as np

from raypipe.train.data.order import hashed


def task_counts(n_examples: np.ndarray, *, temperature: float) -> np.ndarray:
    """Examples of each task in an epoch: [tasks] int64 -> [tasks] int64 of the same sum.

    Raises
    ------
    ValueError
        If the temperature is below 1.
    """
    if not temperature >= 1:
        raise ValueError(f"task_temperature must be at least 1 (proportional), got {temperature}.")
    n = np.asarray(n_examples, np.int64)
    share = np.where(n > 0, n, 1) ** (1 / temperature) * (n > 0)
    exact = n.sum() * share / share.sum()
    counts = np.floor(exact + 1e-9).astype(np.int64)
    missing = int(n.sum() - counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1  # largest remainders
    return np.asarray(counts)


class Mixture:
    """The order of each epoch. Every example of a task is seen as often as its others, or once more.

    A task is an endless sequence of its examples, each pass in another order; an epoch takes the next `task_counts` of
    each, and is as long as the examples are many.
    """

    def __init__(self, tasks: Sequence[str], *, temperature: float, seed: int) -> None:
        self._seed = seed
        names, code = np.unique(np.asarray(tasks), return_inverse=True)
        self._rows = [np.flatnonzero(code == at) for at in range(len(names))]
        self._counts = task_counts(np.bincount(code), temperature=temperature)

    def __call__(self, epoch: int) -> np.ndarray:
        """Numbers of the examples, in the order of this epoch: [n] int64."""
        drawn = np.concatenate([self._next(task, epoch) for task in range(len(self._rows))])
        return np.asarray(drawn[np.argsort(hashed(np.arange(len(drawn)), self._seed, epoch, "mixture"), kind="stable")])

    def _next(self, task: int, epoch: int) -> np.ndarray:
        """What an epoch takes of a task's sequence."""
        rows, count = self._rows[task], int(self._counts[task])
        places = np.arange(epoch * count, (epoch + 1) * count)
        passes = {number: rows[self._permuted(rows, task, number)] for number in np.unique(places // len(rows))}
        return np.array([passes[place // len(rows)][place % len(rows)] for place in places], np.int64)

    def _permuted(self, rows: np.ndarray, task: int, number: int) -> np.ndarray:
        return np.argsort(hashed(rows, self._seed, number, f"task {task}"), kind="stable")
