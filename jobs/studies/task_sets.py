"""Many small classification tasks over the same or like cases: of digits, and of sets of the folder given with --data.

The majority class is capped in the whole set, before it is split, and then so many rows of each task are drawn once
for all seeds, in one order of cases, so that tasks over the same cases share as many of them as they can.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.train.choices.class_cap import cap_majority
from raypipe.train.choices.question import Question

from .open_data import real, vectors

N_TASKS, MIN_OF_CHOICE, N_CHARACTERS = 10, 10, 120
"""Tasks of a set at most, the largest; rows below which a choice isn't one; characters of a text that are read."""
NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VARIABLES: dict[str, Callable[[int], object]] = {
    "digit": lambda d: d,
    "parity": lambda d: d % 2,
    "half": lambda d: d // 5,
    "prime": lambda d: d in (2, 3, 5, 7),
    "square": lambda d: d in (0, 1, 4, 9),
    "remainder by 3": lambda d: d % 3,
    "remainder by 4": lambda d: d % 4,
    "loops": lambda d: {0: 1, 6: 1, 8: 2, 9: 1}.get(d, 0),
    "letters": lambda d: len(NUMERALS[d]),
    "begins with a vowel": lambda d: NUMERALS[d][0] in "aeiou",
}
"""What is asked about a picture of a digit, as a legal database asks many things about one opinion."""


@dataclass(frozen=True)
class TaskSet:
    """Questions of several tasks, `n` in all."""

    questions: list[Question]
    row: np.ndarray
    """[n]: of each question's case among `cases`."""
    cases: list[str]
    """What is asked about, by name."""

    @property
    def texts(self) -> list[str]:
        """Of the cases, in their order."""
        found = {question.case: question.text for question in self.questions}
        return [found[case] for case in self.cases]

    @property
    def sha256(self) -> str:
        """Of the cases and their texts, in their order."""
        return hashlib.sha256(json.dumps([self.cases, self.texts]).encode()).hexdigest()

    @property
    def tasks(self) -> list[str]:
        """By name."""
        return sorted({question.task for question in self.questions})


def tasks_of(name: str, pool: int) -> TaskSet:
    """The ten largest tasks of a set with `pool` rows or more, and so many rows of each.

    Raises
    ------
    ValueError
        If there is no set of that name, or none of its tasks is large enough.
    """
    if name not in READERS:
        raise ValueError(f"data must be one of {', '.join(READERS)}, got {name!r}.")
    questions, _ = cap_majority(list(READERS[name]()))
    sizes = Counter(question.task for question in questions)
    large = {task for task, n in sizes.most_common(N_TASKS) if n >= pool}
    if not large:
        raise ValueError(f"no task of {name} has {pool} rows, the largest {sizes.most_common(1)}; lower the pool.")
    cases = sorted({question.case for question in questions})
    place = dict(zip(cases, np.random.default_rng(0).permutation(len(cases)).tolist(), strict=True))
    taken, kept = Counter[str](), list[Question]()
    for question in sorted(questions, key=lambda question: place[question.case]):
        if question.task in large and taken[question.task] < pool:
            taken[question.task] += 1
            kept.append(question)
    number = {case: at for at, case in enumerate(sorted({question.case for question in kept}))}
    return TaskSet(kept, np.array([number[question.case] for question in kept]), list(number))


def _question(task: str, text: str, choices: tuple[str, ...], answer: str, *, case: str, row: int) -> Question:
    return Question(task, "", text, f"Which {task} is it?", choices, (answer,), case, None, "set", row)


def _digits() -> Iterator[Question]:
    """What is asked about each picture; its case is its number among them all."""
    _, digits = vectors("digits")
    for task, variable in VARIABLES.items():
        choices = tuple(sorted({str(variable(digit)) for digit in range(10)}))
        for row, digit in enumerate(digits.tolist()):
            yield _question(task, "", choices, str(variable(digit)), case=f"{row:04}", row=row)


def _table(name: str, *files: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [row for file in files for row in pq.read_table(real(name) / file).to_pylist()]


def _clinc() -> Iterator[Question]:
    """A domain of requests is a task, its intents the choices."""
    rows = [row for row in _table("clinc150", "full.parquet") if row["domain"] != "oos"]
    intents: dict[str, set[str]] = {}
    for row in rows:
        intents.setdefault(row["domain"], set()).add(row["intent"])
    for at, row in enumerate(rows):
        choices = tuple(sorted(intents[row["domain"]]))
        yield _question(row["domain"], row["text"], choices, row["intent"], case=row["text"], row=at)


def _debtags() -> Iterator[Question]:
    """A facet of packages is a task: which of its tags a description has, where it has just one."""
    rows = _table("debtags_xc", "train.parquet", "test.parquet")
    found: dict[str, list[tuple[int, str]]] = {}
    for at, row in enumerate(rows):
        facets = Counter(label.split("::")[0] for label in row["labels"])
        for label in row["labels"]:
            if facets[facet := label.split("::")[0]] == 1:
                found.setdefault(facet, []).append((at, label))
    for facet, given in found.items():
        sizes = Counter(label for _, label in given)
        choices = tuple(sorted(label for label, n in sizes.items() if n >= MIN_OF_CHOICE))
        for at, label in given:
            if label in choices and len(choices) > 1:
                text = " ".join(f"{rows[at]['title']}: {rows[at]['text']}".split())[:N_CHARACTERS]
                yield _question(facet, text, choices, label, case=rows[at]["id"], row=at)


READERS: dict[str, Callable[[], Iterator[Question]]] = {"digits": _digits, "clinc150": _clinc, "debtags_xc": _debtags}
