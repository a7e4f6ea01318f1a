"""Rows with answers or labels to examples: token ids, and which of them are to be learnt.

A conversation learns what the assistant says, and the token that ends it; a prompt with an answer learns the answer.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from raypipe.columns import require
from raypipe.contracts.rows import Document
from raypipe.models.tokenizer import Vocabulary
from raypipe.storage.folder import Folder, walk
from raypipe.train.data.order import uniform


@dataclass(frozen=True)
class ExampleColumns:
    """Where the parts of an example are."""

    messages_column: str = "messages"
    """Conversations: a list of {role, content}; where a file has it, prompt and answer aren't looked at."""
    prompt_column: str = "prompt"
    """Text that an answer follows; or the text that a label is of."""
    answer_column: str = "answer"
    """Text that is learnt; of choices one of them or an integer, or a list of those that count as right."""
    label_column: str = "label"
    """Class (any value) or number, for a head."""
    domain_column: str | None = None
    """Column of the domain, by which losses are shown."""


@dataclass
class Examples:
    """What was read, and why rows were left out."""

    train: list[Document]
    heldout: list[Document]
    skipped: Counter[str]
    labels: list[Any]
    """Classes in order; empty for answers and numbers."""


def read_rows(uri: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(path, row, columns) of every row of the Parquet and JSON-lines files below a URI.

    Raises
    ------
    ValueError
        If a file is of another kind, or a line isn't a JSON object.
    """
    for entry in walk(uri):
        parent, _, base = uri.rpartition("/")
        folder, name = (Folder(uri), entry.path) if entry.path else (Folder(parent or "."), base)
        if name.endswith(".parquet"):
            with folder.open(name) as source:
                for row, columns in enumerate(pq.ParquetFile(source).read().to_pylist()):
                    yield name, row, columns
        elif name.endswith((".jsonl", ".ndjson")):
            for row, line in enumerate(folder.read(name).decode("utf-8-sig").split("\n")):
                if line.strip():
                    yield name, row, _parsed(line, f"{name}, line {row + 1}")
        else:
            raise ValueError(f"examples must be .parquet or .jsonl files, got {name!r} in {uri}.")


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where} isn't JSON: {error}.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where} must be a JSON object, got {type(found).__name__}.")
    return found


def read_examples(
    uris: Sequence[str],
    columns: ExampleColumns,
    vocabulary: Vocabulary,
    *,
    learn: Literal["answers", "class", "number"],
    length: int,
    heldout_share: float,
) -> Examples:
    """All examples, in memory; those that can't be used are counted by reason.

    Raises
    ------
    ValueError
        If none can be used.
    KeyError
        If the rows don't have the columns.
    """
    found: list[Document] = []
    skipped: Counter[str] = Counter()
    classes: dict[str, int] = {}
    for uri in uris:
        for path, row, values in read_rows(uri):
            domain = str(values.get(columns.domain_column) or "unknown") if columns.domain_column else "all"
            if learn == "answers":
                pair = answer_of(values, columns, vocabulary)
                label = None
            else:
                pair = labelled(values, columns, vocabulary)
                label = _label(values.get(columns.label_column), classes, is_class=learn == "class")
            if (why := _unusable(pair, label, learn, length)) is not None:
                skipped[why] += 1
                continue
            ids, marked = pair
            found.append(Document(np.array(ids, np.int32), domain, path, row, marked, label))
    if not found:
        raise ValueError(f"no example in {', '.join(uris)} can be learnt from: {dict(skipped)}.")
    order = sorted(classes)
    is_heldout = uniform(np.arange(len(found)), 0, 0, "heldout examples") < heldout_share
    final = [_with_code(document, order, classes) for document in found] if learn == "class" else found
    train = [document for document, out in zip(final, is_heldout, strict=True) if not out]
    heldout = [document for document, out in zip(final, is_heldout, strict=True) if out]
    return Examples(train, heldout, skipped, order)


def answer_of(values: dict[str, Any], columns: ExampleColumns, vocabulary: Vocabulary) -> tuple[list[int], np.ndarray]:
    """Ids of an example [t] and which of them are learnt [t] bool."""
    if columns.messages_column in values:
        return conversation(values[columns.messages_column], vocabulary)
    _require(values, [columns.prompt_column, columns.answer_column])
    prompt = _ids(values[columns.prompt_column], vocabulary, special=True)
    answer = _ids(values[columns.answer_column], vocabulary, special=False)
    end = [vocabulary.end] if vocabulary.end is not None else []
    return prompt + answer + end, np.arange(len(prompt) + len(answer) + len(end)) >= len(prompt)


def conversation(messages: list[dict[str, str]], vocabulary: Vocabulary) -> tuple[list[int], np.ndarray]:
    """A conversation by the tokenizer's chat template; marked is what follows the template's prompt to the assistant.

    Raises
    ------
    ValueError
        If the tokenizer has no template, or its template isn't one text that grows message by message.
    """
    tokenizer = vocabulary.tokenizer
    if not tokenizer.chat_template:
        raise ValueError("messages need a tokenizer with a chat template; give prompt and answer columns instead.")
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    spans = []
    for at, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        start = tokenizer.apply_chat_template(messages[:at], tokenize=False, add_generation_prompt=True)
        stop = tokenizer.apply_chat_template(messages[: at + 1], tokenize=False)
        if not (text.startswith(stop) and stop.startswith(start)):
            raise ValueError("the chat template changes earlier messages; answers can't be told from the rest.")
        spans.append((len(start), len(stop.rstrip("\n"))))
    encoding = vocabulary.rendered.encode(text, add_special_tokens=False)
    begins = np.array([begin for begin, _ in encoding.offsets])
    marked = np.zeros(len(begins), bool)
    for start, stop in spans:
        marked |= (begins >= start) & (begins < stop)
    return encoding.ids, marked


def labelled(values: dict[str, Any], columns: ExampleColumns, vocabulary: Vocabulary) -> tuple[list[int], np.ndarray]:
    """Ids of a text that has a label."""
    _require(values, [columns.prompt_column, columns.label_column])
    ids = _ids(values[columns.prompt_column], vocabulary, special=True)
    return ids, np.ones(len(ids), bool)


def _ids(text: Any, vocabulary: Vocabulary, *, special: bool) -> list[int]:
    if not isinstance(text, str):
        return []
    return list(vocabulary.backend.encode(text, add_special_tokens=special).ids)


def _require(values: dict[str, Any], names: list[str]) -> None:
    import pyarrow as pa

    require(pa.schema([(name, pa.null()) for name in values]), names, where="an example")


def _label(value: Any, classes: dict[str, int], *, is_class: bool) -> float | None:
    if value is None:
        return None
    if is_class:
        return float(classes.setdefault(str(value), len(classes)))
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _with_code(document: Document, order: list[str], classes: dict[str, int]) -> Document:
    """Classes numbered by name, not by first appearance."""
    names = {code: name for name, code in classes.items()}
    label = float(order.index(names[int(document.label or 0)]))
    return Document(document.ids, document.domain, document.path, document.row, None, label)


def _unusable(pair: tuple[list[int], np.ndarray], label: float | None, learn: str, length: int) -> str | None:
    ids, marked = pair
    if len(ids) > length:
        return f"longer than {length} tokens"
    if learn == "answers":
        return None if marked[1:].any() else "no answer"
    if label is None:
        return "no label"
    return None if ids else "no text"
