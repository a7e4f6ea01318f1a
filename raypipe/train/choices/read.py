"""Rows of files to questions; rows that ask nothing, or have no answer that could be given, are counted by reason."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.train.choices.question import Question
from raypipe.train.data.examples import read_rows

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
    answer_column: str = "answer"
    """One of the choices, or an integer; or a list of those that count as right (--learn choices)."""
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
    left_out: Counter[str]


def read_questions(uris: Sequence[str], columns: ChoiceColumns) -> Questions:
    """All questions of the .parquet and .jsonl files at these URIs, in memory.

    Raises
    ------
    KeyError
        If a row has no column of some part, and its task no such part either.
    ValueError
        If no row can be used, or the file of tasks has a task twice.
    """
    tasks, read = read_tasks(columns), Questions([], Counter())
    for uri in uris:
        for path, row, values in read_rows(uri):
            about = tasks.get(str(values.get(columns.task_column)), {})
            own = {name: value for name, value in values.items() if value is not None or name not in about}
            made = question_of({**about, **own}, columns, path=path, row=row)
            if isinstance(made, str):
                read.left_out[made] += 1
            else:
                read.found.append(made)
    if not read.found:
        raise ValueError(f"no row in {', '.join(uris)} is a question that can be answered: {dict(read.left_out)}.")
    return read


def read_tasks(columns: ChoiceColumns) -> dict[str, dict[str, Any]]:
    """The rows of the file of tasks, by task; empty without a file.

    Raises
    ------
    ValueError
        If a task stands there twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for _, _, values in read_rows(columns.tasks) if columns.tasks else ():
        name = str(values.get(columns.task_column))
        if name in found:
            raise ValueError(f"{columns.tasks} must have one row a task, got {name!r} twice.")
        found[name] = values
    return found


def question_of(values: Mapping[str, Any], columns: ChoiceColumns, *, path: str, row: int) -> Question | str:
    """The question of a row, or why it can't be one.

    Raises
    ------
    KeyError
        If a column is missing.
    """
    _require(values, columns)
    named = (
        columns.task_column,
        columns.text_column,
        columns.question_column,
        columns.case_column or columns.text_column,
    )
    task, text, question, case = parts = [_text(values[name]) for name in named]
    if "" in parts:
        return f"no {named[parts.index('')]}"
    split = SPLITS.get(str(values[columns.split_column]).strip().lower()) if columns.split_column else None
    if columns.split_column and split is None:
        return f"{columns.split_column} isn't train, validation or test"
    choices = tuple(str(choice).strip() for choice in values.get(columns.choices_column) or ())
    answers = accepted(values[columns.answer_column], choices)
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
    if len(set(choices)) < len(choices):
        return "a choice stands there twice"
    texts = tuple(dict.fromkeys(str(one).strip() for one in given))
    return texts if set(texts) <= set(choices) else "answer isn't among the choices"


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


def _require(values: Mapping[str, Any], columns: ChoiceColumns) -> None:
    wanted = [columns.task_column, columns.instruction_column, columns.text_column, columns.question_column,
              columns.answer_column, columns.case_column, columns.split_column]  # fmt: skip
    missing = [name for name in wanted if name is not None and name not in values]
    if missing:
        raise KeyError(
            f"a question has no column {', '.join(map(repr, missing))}; its columns are {sorted(values)}. Name the "
            "right ones, or give instruction, question and choices in a file of tasks (--tasks)."
        )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
