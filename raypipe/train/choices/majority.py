"""The control that looks at nothing: the commonest answer of each task."""

from collections import Counter
from collections.abc import Sequence

from raypipe.train.choices.question import Question


def majority_answers(train: Sequence[Question], asked: Sequence[Question]) -> list[str | None]:
    """The commonest answer in training of each question's task; None for a task that isn't there.

    Of questions with several accepted answers each counts; among equally common answers the first by name is taken.
    """
    counts: dict[str, Counter[str]] = {}
    for question in train:
        counts.setdefault(question.task, Counter()).update(question.answers)
    commonest = {task: min(of, key=lambda answer: (-of[answer], answer)) for task, of in counts.items()}
    return [commonest.get(question.task) for question in asked]
