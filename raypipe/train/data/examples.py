"""Rows with answers or labels to examples: token ids, and which of them are to be learnt.

A conversation learns what the assistant says, and the token that ends it; a prompt with an answer learns the answer.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa

from raypipe.columns import require
from raypipe.contracts.rows import Document
from raypipe.corpus.records import Record, read_records
from raypipe.corpus.soft_labels import SoftLabels
from raypipe.models.boundary import continued
from raypipe.models.tokenizer import Vocabulary
from raypipe.train.data.conversation import conversation
from raypipe.train.data.labels import class_name, in_order, renamed_truths
from raypipe.train.data.left_out import LeftOut
from raypipe.train.data.order import uniform

Learn = Literal["answers", "class", "number"]


@dataclass(frozen=True)
class ExampleColumns:
    """Where the parts of an example are."""

    messages_column: str = "messages"
    """Conversations: a list of {role, content}; where a row has it, prompt and answer aren't looked at."""
    prompt_column: str = "prompt"
    """Text that an answer follows; or the text that a label is of."""
    answer_column: str = "answer"
    """Text that is learnt; of choices one of them or an integer, or a list of those that count as right."""
    label_column: str = "label"
    """Class (any text or number) or number, for a head."""
    domain_column: str | None = None
    """Column of the domain, by which losses are shown."""
    id_column: str = "id"
    """With soft labels: of the id that they are known by."""


@dataclass
class ExampleSets:
    """What was read, and why rows were left out."""

    train: list[Document]
    heldout: list[Document]
    left_out: LeftOut
    labels: list[str]
    """Classes in the order of their numbers; empty for answers and numbers."""
    train_texts: list[str]
    """What labels are of; empty for answers."""
    heldout_texts: list[str]


@dataclass(frozen=True)
class _Made:
    """An example, with the name of its class."""

    document: Document
    text: str = ""
    name: str = ""


def read_examples(
    uris: Sequence[str],
    columns: ExampleColumns,
    vocabulary: Vocabulary,
    *,
    learn: Learn,
    length: int,
    heldout_share: float,
    where: str | None = None,
    soft: SoftLabels | None = None,
) -> ExampleSets:
    """All examples, in memory; those that can't be used are counted by reason.

    With `soft` a row's class is learned as the probabilities of its id, and its label, where it has one, only judges it
    when it is held out; a held-out row without one is judged by its likeliest class.

    Raises
    ------
    ValueError
        If none can be used, or the labels don't differ.
    KeyError
        If no row has a column.
    """
    found: list[_Made] = []
    left_out, keys = LeftOut(), dict[str, None]()
    for record in read_records(uris, where=where):
        keys.update(dict.fromkeys(record.values))
        made = record.reason or _made(record, columns, vocabulary, learn, soft)
        if not isinstance(made, str) and len(made.document.ids) > length:
            made = f"longer than {length} tokens"
        if isinstance(made, str):
            left_out.add(made, path=record.path, row=record.row)
        else:
            found.append(made)
    _check_columns(columns, list(keys), learn, is_empty=not found, is_soft=soft is not None)
    if not found:
        raise ValueError(f"no example in {', '.join(uris)} can be learnt from: {dict(left_out.counts)}.")
    if soft is not None:
        labels = list(soft.classes)
    else:
        labels, found = _numbered(found) if learn == "class" else ([], found)
    if learn != "answers":
        _check_labels(found, labels, columns.label_column)
    is_heldout = uniform(np.arange(len(found)), 0, 0, "heldout examples") < heldout_share
    train, heldout = ([one for one, out in zip(found, is_heldout, strict=True) if out == held] for held in (0, 1))
    if soft is not None:
        heldout = _judged(heldout, soft)
    return ExampleSets(
        train=[one.document for one in train],
        heldout=[one.document for one in heldout],
        left_out=left_out,
        labels=labels,
        train_texts=[one.text for one in train] if learn != "answers" else [],
        heldout_texts=[one.text for one in heldout] if learn != "answers" else [],
    )


def label_counts(documents: Sequence[Document], n_classes: int) -> list[int]:
    """Documents of each class."""
    counts = Counter(int(document.label or 0) for document in documents)
    return [counts[at] for at in range(n_classes)]


def answer_of(
    values: dict[str, object], columns: ExampleColumns, vocabulary: Vocabulary
) -> tuple[list[int], np.ndarray] | str:
    """Ids of an example [t] and which of them are learnt [t] bool; or why it is none."""
    if columns.messages_column in values:
        return conversation(values[columns.messages_column], vocabulary)
    prompt, answer = (values.get(name) for name in (columns.prompt_column, columns.answer_column))
    for name, value in ((columns.prompt_column, prompt), (columns.answer_column, answer)):
        if not isinstance(value, str):
            return f"no {name}" if value is None else f"{name} isn't text"
    both = continued(vocabulary, str(prompt), str(answer))
    end = [vocabulary.end] if vocabulary.end is not None else []
    if not both.is_second[1:].any():
        return "no answer"
    return both.ids + end, np.append(both.is_second, np.ones(len(end), bool))


def _made(
    record: Record, columns: ExampleColumns, vocabulary: Vocabulary, learn: Learn, soft: SoftLabels | None = None
) -> _Made | str:
    """The example of a row, or why it is none."""
    domain = _domain(record, columns)
    if learn == "answers":
        pair = answer_of(record.values, columns, vocabulary)
        if isinstance(pair, str):
            return pair
        ids, marked = pair
        if not marked[1:].any():
            return "no answer"
        return _Made(Document(np.array(ids, np.int32), domain, record.path, record.row, marked))
    text, value = record.values.get(columns.prompt_column), record.values.get(columns.label_column)
    if not isinstance(text, str):
        return "no text" if text is None else f"{columns.prompt_column} isn't text"
    if not text or text.isspace():
        return "no text"
    own = vocabulary.backend.encode(text, add_special_tokens=True).ids
    document = Document(np.array(own, np.int32), domain, record.path, record.row)
    if soft is not None:
        return _soft(document, text, class_name(value), str(record.values.get(columns.id_column)), soft)
    name, number = (class_name(value), None) if learn == "class" else ("", _number(value))
    if name is None or (learn == "number" and number is None):
        return "no label" if value is None else f"label isn't {'text or a number' if learn == 'class' else 'a number'}"
    return _Made(replace(document, label=number), text, name)


def _soft(document: Document, text: str, truth: str | None, name: str, soft: SoftLabels) -> _Made | str:
    """A document with the probabilities of its id, the likeliest class as its label; or why it is none."""
    if name not in soft.covered:
        return "no soft label"
    if truth is not None and truth not in soft.classes:
        return "label is no class of the soft labels"
    shares = soft.probability[name]
    made = replace(document, label=float(shares.argmax()), soft_label=shares.astype(np.float32))
    return _Made(made, text, truth or "")


def _judged(heldout: list[_Made], soft: SoftLabels) -> list[_Made]:
    """Held-out examples, those whose truth is known with it for a label."""
    return [
        replace(one, document=replace(one.document, label=float(soft.classes.index(one.name)))) if one.name else one
        for one in heldout
    ]


def _domain(record: Record, columns: ExampleColumns) -> str:
    if columns.domain_column is not None:
        return class_name(record.values.get(columns.domain_column)) or "unknown"
    return record.domain or "all"


def _number(value: object) -> float | None:
    """A finite number, written in whatever way."""
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _numbered(found: list[_Made]) -> tuple[list[str], list[_Made]]:
    """Names of the classes in order, and the examples with their class's number: no matter which came first."""
    renamed = renamed_truths(one.name for one in found)
    names = [renamed.get(one.name, one.name) for one in found]
    labels = in_order(names)
    code = {name: float(at) for at, name in enumerate(labels)}
    numbered = [
        replace(one, document=replace(one.document, label=code[name])) for one, name in zip(found, names, strict=True)
    ]
    return labels, numbered


def _check_labels(found: list[_Made], labels: list[str], column: str) -> None:
    values = {one.document.label for one in found}
    if len(values) < 2:
        only = repr(labels[0]) if labels else f"{values.pop():g}"
        raise ValueError(
            f"{column} must have at least two values to tell apart, got only {only} in all {len(found):,} examples."
        )


def _check_columns(columns: ExampleColumns, keys: list[str], learn: Learn, *, is_empty: bool, is_soft: bool) -> None:
    """Refuse names that no row has: of columns that are needed, and of others that somebody asked for."""
    if not keys:
        return
    wanted = [] if columns.domain_column is None else [columns.domain_column]
    if columns.messages_column != ExampleColumns.messages_column and learn == "answers":
        wanted.append(columns.messages_column)
    elif learn != "answers":
        wanted += [columns.prompt_column, columns.id_column if is_soft else columns.label_column]
    elif is_empty and columns.messages_column not in keys:
        wanted += [columns.prompt_column, columns.answer_column]
    require(pa.schema([(name, pa.null()) for name in keys]), wanted, where="an example")
