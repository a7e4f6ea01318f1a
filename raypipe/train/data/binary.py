"""Rows of a data set as texts with a yes or no: labelled texts as they are, questions with choices by a coin flip.

Source: C. Burns et al., Weak-to-Strong Generalization, arXiv 2312.09390, appendix A.1: a multiple-choice question
becomes a question with one answer, right (1) or wrong (0) with equal chance.
Departures: the coin, and which wrong answer is shown, are functions of the row's content, not of a generator's state.
"""

import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.arrays.hashing import bits_of, uniform
from raypipe.train.data.examples import read_rows

CHOICE = "choice"
TRUTH = {"1": 1, "true": 1, "yes": 1, "0": 0, "false": 0, "no": 0}


@dataclass(frozen=True)
class BinaryColumns:
    """Where text and truth of a row are."""

    template: str = "{text}"
    """The text, with columns in braces: "{passage}\\nQuestion: {question}"; {choice} is the answer that is shown of
    --choices-column."""
    label_column: str = "label"
    """Column of the truth: 0 or 1, true or false, yes or no."""
    choices_column: str | None = None
    """Column of a question's answers; the truth is then whether the one shown is right."""
    gold_column: str = "gold"
    """Column of the right choice's number, from 0; read with --choices-column only."""


@dataclass(frozen=True)
class BinaryRow:
    """A text and its truth."""

    text: str
    label: int
    """1 or 0."""
    text_hash: int
    """Of the text, 64 bits, signed."""
    path: str
    """Of the source file."""
    row: int
    """Of the source file."""


@dataclass(frozen=True)
class BinaryRows:
    """What was read, and why rows were left out."""

    rows: list[BinaryRow]
    skipped: Counter[str]

    @property
    def text_hash(self) -> np.ndarray:
        """[n] int64."""
        return np.array([row.text_hash for row in self.rows], np.int64)

    @property
    def labels(self) -> np.ndarray:
        """[n] int64, 0 or 1."""
        return np.array([row.label for row in self.rows], np.int64)

    @property
    def sha256(self) -> str:
        """Of texts and labels in their order."""
        from hashlib import sha256

        digest = sha256()
        for row in self.rows:
            digest.update(f"{row.text_hash}:{row.label};".encode())
        return digest.hexdigest()

    def of(self, numbers: Iterable[int]) -> "BinaryRows":
        """Some of the rows."""
        return BinaryRows([self.rows[number] for number in numbers], self.skipped)


def read_binary_rows(uris: Sequence[str], columns: BinaryColumns) -> BinaryRows:
    """All rows of Parquet and JSON-lines files, in memory; those without text or truth are counted by reason.

    Raises
    ------
    KeyError
        If the rows don't have the columns.
    ValueError
        If no row can be used, or the template names no column.
    """
    wanted = _columns_of(columns)
    rows: list[BinaryRow] = []
    skipped: Counter[str] = Counter()
    for uri in uris:
        for path, number, values in read_rows(uri):
            if missing := [name for name in wanted if name not in values]:
                raise KeyError(f"{path} has no column {missing[0]!r}; it has {', '.join(sorted(values))}.")
            found = _binary(values, columns)
            if isinstance(found, str):
                skipped[found] += 1
            else:
                text, label = found
                rows.append(BinaryRow(text, label, _hash(text), path, number))
    if not rows:
        raise ValueError(f"no row in {', '.join(uris)} has a text and a truth: {dict(skipped)}.")
    return BinaryRows(rows, skipped)


def _columns_of(columns: BinaryColumns) -> list[str]:
    try:
        named = [name for _, name, _, _ in string.Formatter().parse(columns.template) if name is not None]
    except ValueError as error:
        raise ValueError(f"template must name columns in braces, got {columns.template!r}: {error}.") from error
    if not named or not all(name.isidentifier() for name in named):
        raise ValueError(f"template must name columns in braces, got {columns.template!r}.")
    if columns.choices_column is None:
        return [*named, columns.label_column]
    if CHOICE not in named:
        raise ValueError(f"template must show the answer as {{choice}}, got {columns.template!r}.")
    return [*(name for name in named if name != CHOICE), columns.choices_column, columns.gold_column]


def _binary(values: dict[str, Any], columns: BinaryColumns) -> tuple[str, int] | str:
    """Text and truth of a row, or why it has none."""
    if columns.choices_column is not None:
        shown = _shown(values, columns)
        return "no choice that is right, or none that is wrong" if shown is None else shown
    label = TRUTH.get(str(values[columns.label_column]).removesuffix(".0").lower())
    if label is None:
        return "no label that is 0 or 1"
    text = _filled(columns.template, values)
    return (text, label) if text.strip() else "no text"


def _shown(values: dict[str, Any], columns: BinaryColumns) -> tuple[str, int] | None:
    """The question with the answer that is shown, and whether it is right."""
    choices, gold = values[str(columns.choices_column)], str(values[columns.gold_column])
    if not isinstance(choices, list) or len(choices) < 2 or not gold.isdigit() or int(gold) >= len(choices):
        return None
    right = _filled(columns.template, {**values, CHOICE: choices[int(gold)]})
    key = np.array([_hash(right)], np.int64)  # of question and answer: many questions may have the same choices
    if uniform(key, seed=0, purpose="weak-to-strong coin")[0] < 0.5:
        return right, 1
    wrong = [choice for at, choice in enumerate(choices) if at != int(gold)]
    chosen = wrong[int(len(wrong) * uniform(key, seed=0, purpose="weak-to-strong wrong choice")[0])]
    return _filled(columns.template, {**values, CHOICE: chosen}), 0


def _filled(template: str, values: dict[str, Any]) -> str:
    return template.format_map({name: "" if value is None else value for name, value in values.items()})


def _hash(text: str) -> int:
    return int(np.uint64(bits_of(text)).view(np.int64))
