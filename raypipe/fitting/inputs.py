"""From columns of a table to an estimator's X, learned on the labelled rows and stored beside what it feeds.

The ways in a closed table: words of a text as vectors, words as counts, hashed n-grams, columns of numbers, vectors
and categories, and sets of vectors, which are those of a text's sentences or of a column.
What an Input has learned goes into the fitted folder with the estimator, so that a corpus is read as the labelled rows
were.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.contracts.estimator import State, Taken

Json = dict[str, Any]
INPUTS = {
    "words": "words:WordVectors",
    "counts": "words:WordCounts",
    "ngrams": "ngrams:HashedNGrams",
    "columns": "table:ColumnVectors",
    "cells": "table:TableCells",
    "sentences": "sets:Sentences",
    "sets": "sets:SetVectors",
    "pooled": "sets:PooledSets",
}
"""Name -> module of this package:class."""


class Input(Protocol):
    """Learns from a table of labelled rows how columns become X; what it has learned ends in `_`."""

    name: ClassVar[str]
    columns: tuple[str, ...]
    """What it reads, in order."""

    @property
    def feature_names(self) -> list[str]:
        """Of the columns of X [d]."""
        ...

    def fit(self, table: pa.Table) -> Self:
        """Learn from rows.

        Raises
        ------
        ValueError
            If nothing can be made of them.
        """
        ...

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """X [n, d], and for each row the reason why it can't be used."""
        ...

    def about(self) -> Json:
        """Settings, as JSON."""
        ...

    def state(self) -> State:
        """What was learned."""
        ...

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        ...


def input_for(takes: Taken, table: pa.Table, columns: tuple[str, ...], *, n_dimensions: int) -> Input:
    """How these columns of labelled rows feed an estimator of vectors, counts, tables or sets; not fitted yet.

    One column of texts is read as words, or as a set of sentences; where the estimator takes tables, only if most of
    the texts differ: else they are categories. Of a column of lists of vectors an estimator of vectors gets the means.
    Any other columns are read as they are, for an estimator of sets as one vector each.

    Raises
    ------
    KeyError
        If a column isn't there.
    ValueError
        If they are nothing that the estimator takes.
    """
    if missing := [name for name in columns if name not in table.column_names]:
        raise KeyError(f"the labelled rows have no column {missing[0]!r}; they have {', '.join(table.column_names)}.")
    is_text = len(columns) == 1 and pa.types.is_string(table.schema.field(columns[0]).type)
    if takes in ("counts", "ngrams") and not is_text:
        raise ValueError(f"a method of words must have one column of texts, got {', '.join(columns)}.")
    if takes == "ngrams":
        return _kind("ngrams")(columns)
    if takes == "counts" or (takes == "words or vectors" and is_text):
        return _kind("counts")(columns)
    if takes == "sets" and is_text:
        return _kind("sentences")(columns, n_dimensions=n_dimensions)
    if nested := [name for name in columns if is_of_sets(table.schema.field(name).type)]:
        if len(columns) > 1 or takes == "table":
            raise ValueError(f"a column of lists of vectors must be the only one, and of no table, got {nested[0]!r}.")
        return _kind("sets" if takes == "sets" else "pooled")(columns)
    if is_text and (takes == "vectors" or not _repeats(table[columns[0]])):
        return _kind("words")(columns, n_dimensions=n_dimensions)
    return _kind("cells" if takes == "table" else "columns")(columns)


def open_input(about: Json, state: State) -> Input:
    """The Input that `about()` and `state()` tell of.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    settings = dict(about)
    made = _kind(settings.pop("name", ""))(tuple(settings.pop("columns", ())), **settings)
    return made.from_state(state)


def is_of_sets(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists of vectors."""
    return _is_list(kind) and _is_list(kind.value_type)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _repeats(texts: pa.ChunkedArray) -> bool:
    """Whether a text stands for two rows or more, on average, as a category does."""
    found: bool = 2 * pc.count_distinct(texts).as_py() <= len(texts)
    return found


def _kind(name: str) -> Callable[..., Input]:
    if name not in INPUTS:
        raise ValueError(f"an input must be one of {', '.join(INPUTS)}, got {name!r}.")
    module, _, kind = INPUTS[name].partition(":")
    found: Callable[..., Input] = getattr(import_module(f"{__package__}.{module}"), kind)
    return found
