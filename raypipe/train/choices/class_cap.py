"""The majority class of a task, down-sampled to at most all others together; with what undoes it in an accuracy.

Source: Lawma (arXiv 2407.16615), its data generation: in splits of more than 10 examples, the factor being kept.
Departures: a task whose rows all have one answer is left as it is, as nothing would remain; a row with several answers
counts under its first. Which rows stay is a matter of their hash alone.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from raypipe.train.choices.question import Question, fraction_of

MIN_EXAMPLES = 10
"""Splits of at most so many examples of a task are left as they are."""


def cap_majority(questions: Sequence[Question]) -> tuple[list[Question], np.ndarray]:
    """The questions of a split that stay, in their order, and how many each stands for: [n] float64, at least 1.

    An accuracy weighted so is the one on the natural distribution; a plain one that of the capped split.
    """
    by_task: dict[str, list[int]] = {}
    for at, question in enumerate(questions):
        by_task.setdefault(question.task, []).append(at)
    weights = np.ones(len(questions))
    for rows in by_task.values():
        _cap(questions, np.array(rows), weights)
    return [question for question, weight in zip(questions, weights, strict=True) if weight], weights[weights > 0]


def _cap(questions: Sequence[Question], rows: np.ndarray, weights: np.ndarray) -> None:
    """Write the weights of one task's rows: 0 for those that go."""
    answers = [questions[at].answers[0] for at in rows]
    counts = Counter(answers)
    majority = min(counts, key=lambda answer: (-counts[answer], answer))
    n_majority, n_others = counts[majority], len(rows) - counts[majority]
    if len(rows) <= MIN_EXAMPLES or not 0 < n_others < n_majority:
        return
    of_majority = rows[[answer == majority for answer in answers]]
    order = np.argsort([fraction_of(questions[at].place, 0, "class cap") for at in of_majority], kind="stable")
    weights[of_majority[order[:n_others]]] = n_majority / n_others
    weights[of_majority[order[n_others:]]] = 0.0
