"""Labelled rows of files whose label is a list: a text of many topics, a package of many tags."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from raypipe.corpus.records import Record, read_records
from raypipe.train.data.labels import class_name, in_order, renamed_truths

from .labelled import UNLABELLED, RowsOfFiles

EMPTY = "an empty list of labels"


@dataclass(frozen=True)
class ListedRows:
    """What was read."""

    table: pa.Table
    lists: list[list[str]]
    """Of each row its labels, each once; one name for each label, however it is written."""
    left_out: Counter = field(default_factory=Counter)
    """Why rows of the files aren't there, and how many."""

    @property
    def labels(self) -> list[str]:
        """Each once: in the order of numbers, or of the alphabet."""
        return in_order({label for of in self.lists for label in of})


def are_lists(uris: Sequence[str], label_column: str) -> bool:
    """Whether the first row that has a label has a list of them.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    """
    values = (one.values.get(label_column) for one in read_records(tuple(uris)) if one.reason is None)
    return next((isinstance(value, list) for value in values if value is not None), False)


def read_listed(uris: Sequence[str], *, label_column: str, columns: Sequence[str]) -> ListedRows:
    """The rows of Parquet or JSON files that have a list of labels, with these columns; empty lists are left out.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    KeyError
        If no row has a column.
    ValueError
        If a label isn't a list, holds what is no label or one twice, or there are no two labels in all.
    """
    rows, lists = RowsOfFiles(uris, columns), list[list[str]]()
    for record in rows:
        labels = _labels_of(record, label_column)
        if not labels:
            rows.left_out[UNLABELLED if labels is None else EMPTY] += 1
            continue
        lists.append(labels)
        rows.take(record)
    table = rows.table(label_column)
    truths = renamed_truths(label for of in lists for label in of)
    lists = [[truths.get(label, label) for label in of] for of in lists]
    if len(every := {label for of in lists for label in of}) < 2:
        raise ValueError(
            f"{label_column} of {', '.join(uris)} must have lists of two labels at least, got {len(lists):,} rows of "
            f"{sorted(every)}; {rows.left_out[EMPTY]:,} lists are empty."
        )
    return ListedRows(table, lists, rows.left_out)


def _labels_of(record: Record, column: str) -> list[str] | None:
    """The labels of a row, None where it has none."""
    value, where = record.values.get(column), f"{record.path}, row {record.row}"
    if value is None:
        return None
    if not isinstance(value, list):
        raise ValueError(
            f"{where}: {column} must be a list of labels, as that of the first labelled row, got {value!r}."
        )
    found: list[str] = []
    for one in value:
        if (name := class_name(one)) is None:
            raise ValueError(f"{where}: {column} must be a list of labels, got {one!r} in it.")
        if name in found:
            raise ValueError(f"{where}: {column} must name each label once, got {name!r} twice.")
        found.append(name)
    return found
