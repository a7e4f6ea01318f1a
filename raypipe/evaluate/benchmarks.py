"""Multiple-choice benchmarks from files of rows: what is asked, the ways to go on, and which one is right.

Three forms, told by their keys: `choices` with `gold` or `answer`, the number of the right one from 0 (ARC, PIQA, COPA,
MMLU); `context_options` with `continuation` and `gold`, where the beginning is chosen (Winograd, partial scoring of
T. Trinh and Q. Le, arXiv 1806.02847); `answer` true or false, answered by yes or no (BoolQ).
"""

import string
from collections.abc import Mapping
from dataclasses import dataclass

from raypipe.corpus.records import Record
from raypipe.evaluate.questions import read_questions

QUESTION = "{question}\nAnswer:"
YES_NO = ("no", "yes")


@dataclass(frozen=True)
class Form:
    """How a row becomes a text that goes on."""

    template: str | None = None
    """The text that a choice follows, with columns in braces; None: the question (column query or question) and
    "Answer:" on a line of its own, as lm-eval asks most of them; BoolQ's passage stands before it."""
    delimiter: str = " "
    """Between that text and a choice."""
    group_column: str | None = None
    """Column by which accuracies are shown apart, such as MMLU's subject."""


@dataclass(frozen=True)
class Item:
    """One question; its k ways are `contexts[i] + continuations[i]`, and what is compared is the continuations."""

    name: str
    """Its id, or where it stands."""
    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    choices: tuple[str, ...]
    """What is compared, without the delimiter."""
    gold: int
    group: str


def read_items(uri: str, form: Form, *, limit: int | None = None) -> list[Item]:
    """The questions of a benchmark's files, in their order, the first `limit` of them.

    Raises
    ------
    ValueError
        If a row can't be asked; with its file, its row and why. A benchmark without some of its rows is another one.
    """
    return read_questions(uri, lambda record: item_of(record, form), limit=limit)


def item_of(record: Record, form: Form) -> Item | str:
    """The question of a row, or why it is none."""
    values = record.values
    name = str(values.get("id") or f"{record.path}:{record.row}")
    group = "all" if form.group_column is None else str(values.get(form.group_column))
    if form.group_column is not None and form.group_column not in values:
        return f"no {form.group_column}"
    if "context_options" in values:
        return _partial(values, name, group)
    is_boolean = isinstance(values.get("answer"), bool) and "choices" not in values
    choices = YES_NO if is_boolean else values.get("choices")
    if not isinstance(choices, list | tuple) or len(choices) < 2 or not all(isinstance(one, str) for one in choices):
        return "choices isn't a list of two or more texts"
    gold = int(bool(values["answer"])) if is_boolean else _number(values, len(choices))
    if isinstance(gold, str):
        return gold
    text = _text(values, form)
    if text is None:
        return "no query or question" if form.template is None else "the template names a column that it lacks"
    k, ways = len(choices), tuple(form.delimiter + one for one in choices)
    return Item(name, (text,) * k, ways, tuple(choices), gold, group)


def _partial(values: Mapping[str, object], name: str, group: str) -> Item | str:
    contexts, end = values["context_options"], values.get("continuation")
    if not isinstance(contexts, list) or len(contexts) < 2 or not isinstance(end, str) or not end:
        return "context_options isn't a list of two or more texts with a continuation"
    gold = _number(values, len(contexts))
    if isinstance(gold, str):
        return gold
    k, end = len(contexts), end if end[:1].isspace() else f" {end}"
    return Item(name, tuple(map(str, contexts)), (end,) * k, (end.strip(),) * k, gold, group)


def _number(values: Mapping[str, object], k: int) -> int | str:
    """The right choice's number; or what is wrong with it."""
    gold = values["gold"] if "gold" in values else values.get("answer")
    if isinstance(gold, bool) or not isinstance(gold, int):
        return "gold (or answer) isn't the number of a choice"
    return gold if 0 <= gold < k else f"gold is {gold}, but there are {k} choices, from 0"


def _text(values: Mapping[str, object], form: Form) -> str | None:
    """What a choice follows."""
    if form.template is not None:
        named = [name for _, name, _, _ in string.Formatter().parse(form.template) if name is not None]
        if any(values.get(name) is None for name in named):
            return None
        return form.template.format_map(dict(values))
    question = values.get("query") or values.get("question")
    if not isinstance(question, str):
        return None
    passage = f"{values['passage']}\n" if isinstance(values.get("passage"), str) else ""
    return passage + QUESTION.format(question=question.strip())
