"""Rows of files to questions; rows that ask nothing, or have no answer that could be given, are counted by reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.corpus.records import read_records
from raypipe.train.choices.question import Question
from raypipe.train.data.labels import class_name
from raypipe.train.data.left_out import LeftOut

SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test",
}  # fmt: skip
"""How data name their splits, in any case of letters."""


@dataclass(frozen=True)
class ChoiceColumns:
    """Where the parts of a question are (--learn choices)."""

    task_column: str = "task"
    """Name of the task (--learn choices)."""
    instruction_column: str = "instruction"
    """What the text is, what to look for, by which rules; may be empty (--learn choices)."""
    text_column: str = "text"
    """What the question is about (--learn choices)."""
    question_column: str = "question"
    """The question itself (--learn choices)."""
    choices_column: str = "choices"
    """List of answers to choose from; absent or null: the answer is an integer (--learn choices)."""
    case_column: str | None = None
    """What a row is about: all rows of a case are in one split, whatever the task; None: rows of equal text."""
    split_column: str | None = None
    """train, validation or test; None: by hash of the case."""
    tasks: str | None = None
    """File with a row a task: instruction, question and choices of the rows that have none of their own."""


@dataclass
class Questions:
    """What was read, in its order, and why rows were left out."""

    found: list[Question]
    left_out: LeftOut


def read_questions(
    uris: Sequence[str], columns: ChoiceColumns, *, answer_column: str = "answer", where: str | None = None
) -> Questions:
    """All questions of the rows at these URIs, in memory; the condition `where` is on the rows' own columns.

    An answer is one of the choices, or an integer; or a list of those that count as right.

    Raises
    ------
    KeyError
        If no row has a column of some part, and its task no such part either.
    ValueError
        If no row can be used, or the file of tasks has a task twice.
    """
    tasks, read, keys = read_tasks(columns), Questions([], LeftOut()), dict[str, None]()
    for record in read_records(uris, where=where):
        about = tasks.get(class_name(record.values.get(columns.task_column)) or "", {})
        own = {name: value for name, value in record.values.items() if value is not None or name not in about}
        keys.update(dict.fromkeys({**about, **own}))
        made = record.reason or question_of({**about, **own}, columns, answer_column, path=record.path, row=record.row)
        if isinstance(made, str):
            read.left_out.add(made, path=record.path, row=record.row)
        else:
            read.found.append(made)
    if not read.found:
        _require(list(keys), columns, answer_column)
        counts = dict(read.left_out.counts)
        raise ValueError(f"no row in {', '.join(uris)} is a question that can be answered: {counts}.")
    return read


def read_tasks(columns: ChoiceColumns) -> dict[str, dict[str, Any]]:
    """The rows of the file of tasks, by task; empty without a file.

    Raises
    ------
    ValueError
        If a task stands there twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in read_records([columns.tasks]) if columns.tasks else ():
        values, name = record.values, class_name(record.values.get(columns.task_column))
        if record.reason is not None or name is None:
            why = record.reason or f"no {columns.task_column}"
            raise ValueError(f"{columns.tasks} must have a task in every row, row {record.row} can't be used: {why}.")
        if name in found:
            raise ValueError(f"{columns.tasks} must have one row a task, got {name!r} twice.")
        found[name] = values
    return found


def question_of(
    values: Mapping[str, Any], columns: ChoiceColumns, answer_column: str, *, path: str, row: int
) -> Question | str:
    """The question of a row, or why it can't be one."""
    if missing := [name for name in _columns_of(columns, answer_column) if name not in values]:
        return f"no {missing[0]}"
    named = (
        columns.task_column,
        columns.text_column,
        columns.question_column,
        columns.case_column or columns.text_column,
    )
    task, text, question, case = parts = [
        class_name(values[name]) or "" if at in (0, 3) else _text(values[name]) for at, name in enumerate(named)
    ]
    if "" in parts:
        return f"no {named[parts.index('')]}"
    split = SPLITS.get(str(values[columns.split_column]).strip().lower()) if columns.split_column else None
    if columns.split_column and split is None:
        return f"{columns.split_column} isn't train, validation or test"
    offered = values.get(columns.choices_column) or ()
    if not isinstance(offered, list | tuple):
        return f"{columns.choices_column} isn't a list"
    choices = tuple(str(choice).strip() for choice in offered)
    answers = accepted(values[answer_column], choices)
    if isinstance(answers, str):
        return answers
    instruction = _text(values[columns.instruction_column])
    return Question(task, instruction, text, question, choices, answers, case, split, path, row)


def accepted(answer: Any, choices: tuple[str, ...]) -> tuple[str, ...] | str:
    """The answers that count as right, each once; or why there are none."""
    given = [one for one in (answer if isinstance(answer, list | tuple) else [answer]) if one is not None]
    if not given:
        return "no answer"
    if not choices:
        numbers = [integer(one) for one in given]
        return "answer isn't an integer" if None in numbers else tuple(dict.fromkeys(map(str, numbers)))
    if len(choices) < 2:
        return "fewer than two choices"
    named = {class_name(choice): choice for choice in choices}
    if len(named) < len(choices) or None in named:
        return "a choice stands there twice" if None not in named else "a choice is empty"
    names = dict.fromkeys(class_name(one) for one in given)  # 1.0 is the choice 1: a column with nulls has no integers
    return tuple(named[name] for name in names) if names.keys() <= named.keys() else "answer isn't among the choices"


def integer(value: Any) -> int | None:
    """A whole number, written in whatever way; None if it isn't one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _columns_of(columns: ChoiceColumns, answer_column: str) -> list[str]:
    wanted = [columns.task_column, columns.instruction_column, columns.text_column, columns.question_column,
              answer_column, columns.case_column, columns.split_column]  # fmt: skip
    return [name for name in wanted if name is not None]


def _require(keys: Sequence[str], columns: ChoiceColumns, answer_column: str) -> None:
    missing = [name for name in _columns_of(columns, answer_column) if name not in keys]
    if keys and missing:
        raise KeyError(
            f"a question has no column {', '.join(map(repr, missing))}; its columns are {sorted(keys)}. Name the "
            "right ones, or give instruction, question and choices in a file of tasks (--tasks)."
        )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
