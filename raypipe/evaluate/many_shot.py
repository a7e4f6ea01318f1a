"""Classification by many examples in the context: accuracy by the number of examples shown.

Source: R. Agarwal et al., Many-Shot In-Context Learning, arXiv 2404.11018; likelihood of labels as in T. Brown et al.,
arXiv 2005.14165.
Departures: the examples are the same for all questions of a number, balanced over labels and in a seeded order; those
of a smaller number are the last of a larger, so that numbers are compared on growing contexts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from raypipe.corpus.records import read_records
from raypipe.evaluate.benchmarks import Item

MAX_LABELS = 200


@dataclass(frozen=True)
class Labelled:
    """A row to classify."""

    name: str
    text: str
    label: str


def read_labelled(uri: str, *, text_column: str, label_column: str) -> list[Labelled]:
    """The rows of a data set, in their order.

    Raises
    ------
    ValueError
        If a row has no text or label; with its file and its row. If there aren't 2 to MAX_LABELS labels.
    """
    found = []
    for record in read_records([uri]):
        values = record.values
        text, label, where = values.get(text_column), values.get(label_column), f"{record.path}:{record.row}"
        if record.reason is not None or not isinstance(text, str) or not text.strip() or label is None:
            why = record.reason or f"no {text_column} with a {label_column}"
            raise ValueError(f"every row must be a text with its label, {where} isn't: {why}.")
        found.append(Labelled(str(values.get("id") or where), " ".join(text.split()), str(label)))
    n_labels = len({one.label for one in found})
    if not 2 <= n_labels <= MAX_LABELS:
        raise ValueError(f"{uri} must have 2 to {MAX_LABELS} labels, it has {n_labels}.")
    return found


def shown_and_asked(
    rows: Sequence[Labelled], *, n_shown: int, limit: int | None, seed: int
) -> tuple[list[Labelled], list[Labelled]]:
    """Examples, balanced over labels, and the other rows, at most `limit` of them, both in a seeded order.

    Raises
    ------
    ValueError
        If no row is left to ask.
    """
    order = [rows[at] for at in np.random.default_rng(seed).permutation(len(rows))]
    by_label: dict[str, list[Labelled]] = {}
    for row in order:
        by_label.setdefault(row.label, []).append(row)
    turns = [of[turn] for turn in range(max(map(len, by_label.values()))) for of in by_label.values() if turn < len(of)]
    shown = turns[:n_shown]
    names = {one.name for one in shown}
    asked = list(islice((row for row in order if row.name not in names), limit))
    if len(shown) < n_shown or not asked:
        raise ValueError(f"{len(rows)} rows must hold {n_shown} examples to show and others to ask; lower --shots.")
    return [shown[at] for at in np.random.default_rng([seed, 1]).permutation(len(shown))], asked


def items_of(asked: Sequence[Labelled], shown: Sequence[Labelled], labels: Sequence[str], *, n: int) -> list[Item]:
    """The questions after the last n of the examples shown; their choices are all labels."""
    examples = "".join(f"Text: {one.text}\nLabel: {one.label}\n\n" for one in shown[len(shown) - n :])
    ways = tuple(f" {label}" for label in labels)
    return [
        Item(one.name, (f"{examples}Text: {one.text}\nLabel:",) * len(ways), ways, tuple(labels),
             list(labels).index(one.label), f"{n} examples")
        for one in asked
    ]  # fmt: skip
