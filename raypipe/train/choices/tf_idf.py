"""The control that counts words: TF-IDF and logistic regression, a model a task."""

from collections.abc import Sequence

import numpy as np

from raypipe.arrays.word_counts import tf_idf_classes
from raypipe.train.choices.question import Question


def tf_idf_answers(train: Sequence[Question], learnt: Sequence[str], asked: Sequence[Question]) -> list[str | None]:
    """What word counts make of each question, from the same training answers as the model's; None without a task."""
    given: list[str | None] = [None] * len(asked)
    for task in {question.task for question in train}:
        rows = [at for at, question in enumerate(train) if question.task == task]
        to_ask = [at for at, question in enumerate(asked) if question.task == task]
        if not to_ask:
            continue
        classes, y = np.unique([learnt[at] for at in rows], return_inverse=True)
        found = tf_idf_classes([_text(train[at]) for at in rows], y, [_text(asked[at]) for at in to_ask])
        for at, best in zip(to_ask, found, strict=True):
            given[at] = str(classes[best])
    return given


def _text(question: Question) -> str:
    """What the words are taken from: the text and the question, as the prompt has them."""
    return f"{question.text}\n{question.question}"
