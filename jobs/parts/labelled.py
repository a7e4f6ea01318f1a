"""Labelled rows of files as a table: columns of texts, numbers, categories, vectors or sets of these, and a class."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe.corpus.records import Record, read_records
from raypipe.corpus.soft_labels import SoftLabels
from raypipe.train.data.labels import class_name, in_order, renamed_truths

UNLABELLED = "no label"


class RowsOfFiles:
    """Rows of Parquet or JSON files as they are read: the columns of those that are taken, why others aren't there."""

    def __init__(self, uris: Sequence[str], columns: Sequence[str]) -> None:
        self.left_out: Counter = Counter()
        self._uris, self._seen = tuple(uris), set[str]()
        self._values: dict[str, list[Any]] = {name: [] for name in columns}

    def __iter__(self) -> Iterator[Record]:
        """The rows that could be read."""
        for record in read_records(self._uris):
            if record.reason is not None:
                self.left_out[record.reason] += 1
                continue
            self._seen |= record.values.keys()
            yield record

    def take(self, record: Record) -> None:
        """Keep the columns of a row."""
        for name, values in self._values.items():
            values.append(record.values.get(name))

    def table(self, *further: str) -> pa.Table:
        """The columns of the rows that were taken.

        Raises
        ------
        KeyError
            If no row has one of them, or one of `further`.
        """
        if missing := [name for name in (*further, *self._values) if name not in self._seen]:
            there = ", ".join(sorted(self._seen))
            raise KeyError(f"no row of {', '.join(self._uris)} has a column {missing[0]!r}; they have {there}.")
        return pa.table({name: column_of(name, of) for name, of in self._values.items()})


@dataclass(frozen=True)
class LabelledRows:
    """What was read."""

    table: pa.Table
    labels: list[str]
    """One name for each class, however it is written."""
    left_out: Counter
    """Why rows of the files aren't there, and how many."""
    unlabelled: pa.Table | None = None
    """Rows without a label, where they were asked for and there are any."""
    environments: list[str] | None = None
    """Of the labelled rows, where they were asked for."""
    ids: list[str] | None = None
    """Of the labelled rows, where their columns are of stages."""

    @property
    def classes(self) -> list[str]:
        """Each once: in the order of numbers, or of the alphabet."""
        return in_order(self.labels)


def read_labelled(
    uris: Sequence[str],
    *,
    label_column: str,
    columns: Sequence[str],
    keep_unlabelled: bool = False,
    environment_column: str | None = None,
) -> LabelledRows:
    """The rows of Parquet or JSON files that have a label, with these columns; others too, if they are to be kept.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    KeyError
        If no row has a column or a label.
    ValueError
        If a column is of several kinds, or of none that can be used, or a labelled row has no environment.
    """
    rows = RowsOfFiles(uris, columns)
    labels: list[str | None] = []
    environments: list[str | None] = []
    for record in rows:
        if (label := one_label(record, label_column)) is None and not keep_unlabelled:
            rows.left_out[UNLABELLED] += 1
            continue
        labels.append(label)
        rows.take(record)
        if environment_column is not None:
            environments.append(class_name(record.values.get(environment_column)))
            if label is not None and environments[-1] is None:
                raise ValueError(f"{record.path}, row {record.row}: a labelled row must have {environment_column!r}.")
    table, is_labelled = rows.table(label_column), [label is not None for label in labels]
    truths = renamed_truths(label for label in labels if label is not None)
    return LabelledRows(
        table.filter(pa.array(is_labelled, pa.bool_())),
        [truths.get(label, label) for label in labels if label is not None],
        rows.left_out,
        table.filter(pa.array([not one for one in is_labelled], pa.bool_())) if not all(is_labelled) else None,
        [str(of) for of, one in zip(environments, is_labelled, strict=True) if one] if environments else None,
    )


@dataclass(frozen=True)
class SoftlyLabelledRows:
    """Rows that a stage of labels knows, by id, with their truth where it is given."""

    table: pa.Table
    ids: list[str]
    truth: list[str | None]
    left_out: Counter


def read_softly_labelled(
    uris: Sequence[str], soft: SoftLabels, *, label_column: str, columns: Sequence[str]
) -> SoftlyLabelledRows:
    """The rows of Parquet or JSON files that have probabilities, with these columns.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    KeyError
        If no row has a column.
    ValueError
        If a row has no id, none has probabilities, an id comes twice, or a label is none of the classes.
    """
    rows = RowsOfFiles(uris, columns)
    truth: dict[str, str | None] = {}
    for record in rows:
        if (name := record.values.get("id")) is None or str(name) in truth:
            what = "an id" if name is None else f"an id of its own, got {name!r} again"
            raise ValueError(f"{record.path}, row {record.row}: a row with soft labels must have {what}.")
        if str(name) not in soft.probability:
            rows.left_out["no soft label"] += 1
            continue
        truth[str(name)] = one_label(record, label_column)
        rows.take(record)
    table = rows.table()
    if not truth:
        raise ValueError(f"no row of {', '.join(uris)} has soft labels; see that its ids are those of the labels.")
    if unknown := sorted({one for one in truth.values() if one is not None} - set(soft.classes)):
        raise ValueError(f"labels of rows must be among the classes {list(soft.classes)}, got {unknown[0]!r}.")
    return SoftlyLabelledRows(table, list(truth), list(truth.values()), rows.left_out)


def one_label(record: Record, column: str) -> str | None:
    """The label of a row, None where it has none.

    Raises
    ------
    ValueError
        If it is a list, where one is looked for.
    """
    value = record.values.get(column)
    if isinstance(value, list):
        raise ValueError(
            f"{record.path}, row {record.row}: {column} must be one label, got a list of {len(value)}; rows that all "
            "have lists are for fit_classifier --method category-queries or one-vs-all."
        )
    return class_name(value)


def column_of(name: str, values: list[Any]) -> pa.Array:
    """Python's values as a column of numbers, of vectors, of lists of vectors, or else of strings; null where missing.

    Raises
    ------
    ValueError
        If some are lists and others aren't, or one is an object.
    """
    there = [value for value in values if value is not None]
    kinds = {_kind(value) for value in there}
    if kinds <= {"number"} and kinds:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if kinds == {"vector"}:
        try:
            of_vectors = any(_kind(one) == "vector" for value in there for one in value)
            return pa.array(values, pa.list_(pa.list_(pa.float64())) if of_vectors else pa.list_(pa.float64()))
        except (pa.ArrowException, TypeError) as error:
            raise ValueError(f"column {name!r} must have lists of numbers, {error}.") from error
    if kinds & {"vector", "object"}:
        raise ValueError(
            f"column {name!r} must be of numbers, texts or vectors alone, got {', '.join(sorted(kinds))}s."
        )
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _kind(value: Any) -> str:
    if isinstance(value, bool | int | float):
        return "number"
    if isinstance(value, dict):
        return "object"
    return "vector" if hasattr(value, "__len__") and not isinstance(value, str | bytes) else "text"
