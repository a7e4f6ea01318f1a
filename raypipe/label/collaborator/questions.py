"""Questions about a concept, written by a language model from the concept's definition; the most telling are kept.

Source: I. Toubal et al., Modeling Collaborator, CVPR 2024 (its abstract): a language model turns a definition into
questions that another model can answer. They belong to the concept, not to a row, and are written once.
Departures: the request is ours. What was written isn't taken as it comes: of all questions those are kept that tell the
definition from what only looks similar, both read as texts by the model that will answer. A person may correct them.
Cost: a generation a draw, and two answers a question.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

REQUEST = (
    "Write five short yes-or-no questions that help to find out whether a text is about {words}. "
    "One question on each line."
)
WORDS = "{words}"
MIN_WORDS, MAX_WORDS = 3, 25
"""Of a question; ours."""
_NUMBERING = re.compile(r"^(?:[-*\u2022]|\(?\d+[.):]|question(?: \d+)?:)\s*", re.IGNORECASE)
_OPENINGS = frozenset({
    "am", "are", "can", "could", "did", "do", "does", "had", "has", "have", "is", "may", "might", "must", "should",
    "was", "were", "will", "would",
})  # fmt: skip
_OF_READERS = re.compile(r"\b(?:you|your|yours|me|my|we|our)\b|\.\.\.|\u2026", re.IGNORECASE)

Write = Callable[[Sequence[str], Sequence[int]], list[str]]
"""Prompts and a seed of each -> what a model answers."""


def questions_in(written: str) -> list[str]:
    """The yes-or-no questions of a model's answer, in order: lines that open with a verb and end by "?".

    Those that ask the reader something, or leave words out, aren't about a text.
    """
    found = []
    for line in written.splitlines():
        bare = line.strip()
        while (shorter := _NUMBERING.sub("", bare).strip()) != bare:
            bare = shorter
        question, mark, _ = bare.partition("?")
        words = question.split()
        if (
            mark
            and MIN_WORDS <= len(words) <= MAX_WORDS
            and words[0].lower() in _OPENINGS
            and not _OF_READERS.search(question)
        ):
            found.append(" ".join(words) + mark)
    return found


def asked_about(words: str, write: Write, *, seeds: Sequence[int], request: str = REQUEST) -> list[str]:
    """What a model asks about some words, a draw a seed: each question once, whatever its case.

    Raises
    ------
    ValueError
        If it has written no yes-or-no question.
    """
    answers = write([request.replace(WORDS, words)] * len(seeds), seeds)
    first: dict[str, str] = {}
    for question in (one for answer in answers for one in questions_in(answer)):
        first.setdefault(question.casefold(), question)
    if not first:
        raise ValueError(
            f"the model must write yes-or-no questions about {words!r}, in {len(seeds)} answers it wrote none, such as "
            f"{answers[0][:120]!r}; write them yourself, or take a larger model."
        )
    return list(first.values())


def most_telling(questions: Sequence[str], told: np.ndarray, n: int) -> tuple[str, ...]:
    """The n questions, or as many as there are, with the highest `told` [m]; of equals the first written.

    `told` is how much surer yes is about what is meant than about what isn't, perhaps less what it usually is. Those
    that tell it the wrong way round (0 and below) are left out.

    Raises
    ------
    ValueError
        If no question tells anything.
    """
    order = np.argsort(-told, kind="stable")[:n]
    found = tuple(questions[at] for at in order if told[at] > 0)
    if not found:
        raise ValueError(
            f"a question must be answered yes rather about what is meant than about what isn't, of {len(questions)} "
            f"written none is, such as {questions[0]!r}; write them yourself, or take a larger model."
        )
    return found
