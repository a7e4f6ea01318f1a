"""Rows of a data set as texts with a yes or no: labelled texts as they are, questions with choices by a coin flip.

Source: C. Burns et al., Weak-to-Strong Generalization, arXiv 2312.09390, appendix A.1: a multiple-choice question
becomes a question with one answer, right (1) or wrong (0) with equal chance.
Departures: the coin, and which wrong answer is shown, are functions of the row's content, not of a generator's state.
"""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.arrays.hashing import bits_of, uniform
from raypipe.corpus.records import read_records
from raypipe.train.data.labels import class_name
from raypipe.train.data.left_out import LeftOut

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
    left_out: LeftOut

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
        return BinaryRows([self.rows[number] for number in numbers], self.left_out)


def read_binary_rows(uris: Sequence[str], columns: BinaryColumns, *, where: str | None = None) -> BinaryRows:
    """All rows of Parquet and JSON-lines files, in memory; those without text or truth are counted by reason.

    Raises
    ------
    KeyError
        If no row has a column.
    ValueError
        If no row can be used, or the template names no column.
    """
    wanted = _columns_of(columns)
    rows: list[BinaryRow] = []
    left_out, keys = LeftOut(), set[str]()
    for record in read_records(uris, where=where):
        keys |= record.values.keys()
        found = record.reason or _binary(record.values, columns, wanted)
        if isinstance(found, str):
            left_out.add(found, path=record.path, row=record.row)
        else:
            text, label = found
            rows.append(BinaryRow(text, label, _hash(text), record.path, record.row))
    if keys and (missing := [name for name in wanted if name not in keys]):
        raise KeyError(f"the rows have no column {missing[0]!r}; they have {', '.join(sorted(keys))}.")
    if not rows:
        raise ValueError(f"no row in {', '.join(uris)} has a text and a truth: {dict(left_out.counts)}.")
    return BinaryRows(rows, left_out)


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


def _binary(values: dict[str, Any], columns: BinaryColumns, wanted: list[str]) -> tuple[str, int] | str:
    """Text and truth of a row, or why it has none."""
    if missing := [name for name in wanted if name not in values]:
        return f"no {missing[0]}"
    if columns.choices_column is not None:
        shown = _shown(values, columns)
        return "no choice that is right, or none that is wrong" if shown is None else shown
    label = TRUTH.get((class_name(values[columns.label_column]) or "").lower())
    if label is None:
        return "no label that is 0 or 1"
    text = _filled(columns.template, values)
    return (text, label) if text.strip() else "no text"


def _shown(values: dict[str, Any], columns: BinaryColumns) -> tuple[str, int] | None:
    """The question with the answer that is shown, and whether it is right."""
    choices, gold = values[str(columns.choices_column)], class_name(values[columns.gold_column]) or ""
    if not isinstance(choices, list) or len(choices) < 2 or not gold.isdecimal() or int(gold) >= len(choices):
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
