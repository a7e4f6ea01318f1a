"""Rows that are sets of vectors: as an estimator takes them, from lists of vectors, and from texts of sentences.

Cost: O(N d) for N vectors; of a text at most `max_parts` are made.
"""

import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import State, VectorSet
from raypipe.fitting.prototypes import Sets
from raypipe.fitting.words import WordVectors, texts_of

NO_SET, NOT_FINITE = "no set of vectors", "a set of vectors with numbers that aren't finite"
NAME_CHARACTERS = 80
_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])[\"')\]]*\s+|\s*\n\s*")


def are_sets(X: Any) -> bool:
    """Whether X is of sets of vectors: object [n], or numbers [n, l, d]."""
    return isinstance(X, np.ndarray) and ((X.dtype == object and X.ndim == 1) or X.ndim == 3)


def end_to_end(X: np.ndarray) -> Sets:
    """Sets [n], or [n, l, d] where vectors that are all NaN are none, without what pads them; float64.

    Raises
    ------
    ValueError
        If there is no set, one has no vector, vectors are of several lengths, or a number isn't finite.
    """
    parts = [_vectors(row) for row in X] if X.dtype == object else [row[~np.isnan(row).all(axis=1)] for row in X]
    if not parts:
        raise ValueError("there must be a set, got none.")
    for at, of in enumerate(parts):
        if of.ndim != 2 or not of.size:
            raise ValueError(f"a set must have a vector, that of row {at} has the shape {of.shape}.")
        if of.shape[1] != parts[0].shape[1]:
            raise ValueError(f"vectors must be of one length, got {parts[0].shape[1]} and, in row {at}, {of.shape[1]}.")
    vectors, sizes = np.concatenate(parts).astype(np.float64), np.array([len(of) for of in parts])
    if not np.isfinite(vectors).all():
        raise ValueError("sets must be of finite numbers, got NaN or infinity.")
    return Sets(vectors, np.cumsum(sizes) - sizes)


def _vectors(row: Any) -> np.ndarray:
    return row.vectors if isinstance(row, VectorSet) else np.asarray(row, dtype=np.float64)


def names_of(X: Any) -> list[tuple[str, ...]] | None:
    """What the vectors of each set stand for; None where some set doesn't say."""
    if not are_sets(X) or not all(isinstance(row, VectorSet) and len(row.names) == len(row.vectors) for row in X):
        return None
    return [row.names for row in X]


def _as_column(sets: list[VectorSet]) -> np.ndarray:
    X = np.empty(len(sets), object)
    for at, one in enumerate(sets):  # numpy would look into them
        X[at] = one
    return X


@dataclass
class SetVectors:
    """A column of lists of vectors -> sets, object [n]."""

    columns: tuple[str, ...]

    name: ClassVar[str] = "sets"
    width_: int = field(default=0, init=False, repr=False)

    @property
    def feature_names(self) -> list[str]:
        """Places in a vector."""
        return [f"{self.columns[0]}[{at}]" for at in range(self.width_)]

    def fit(self, table: pa.Table) -> Self:
        """Learn how long vectors are.

        Raises
        ------
        ValueError
            If no row has a vector, or they are of several lengths.
        """
        widths = {len(vector) for of in table[self.columns[0]].to_pylist() for vector in of or () if vector is not None}
        if len(widths) != 1 or 0 in widths:
            raise ValueError(f"vectors of {self.columns[0]!r} must be of one length, got {sorted(widths) or 'none'}.")
        self.width_ = widths.pop()
        return self

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """Sets, and reasons of rows without one.

        Raises
        ------
        ValueError
            If vectors are longer or shorter than they were, or the column is of something else.
        """
        if not pa.types.is_nested(kind := table.schema.field(self.columns[0]).type) or kind.num_fields != 1:
            raise ValueError(f"column {self.columns[0]!r} must be of lists of vectors, got {kind}.")
        found = [self._set(of or []) for of in table[self.columns[0]].to_pylist()]
        return _as_column([one for one, _ in found]), [reason for _, reason in found]

    def _set(self, of: list[list[float] | None]) -> tuple[VectorSet, str | None]:
        rows = [vector for vector in of if vector is not None]
        if wrong := [len(vector) for vector in rows if len(vector) != self.width_]:
            raise ValueError(f"vectors of {self.columns[0]!r} must have {self.width_} numbers, got {wrong[0]}.")
        if not rows:
            return VectorSet(np.zeros((1, self.width_))), NO_SET
        vectors = np.array(rows, dtype=np.float64)  # None becomes NaN
        if not np.isfinite(vectors).all():
            return VectorSet(np.zeros((1, self.width_))), NOT_FINITE
        return VectorSet(vectors), None

    def about(self) -> dict[str, Any]:
        """Settings."""
        return {"name": self.name, "columns": list(self.columns)}

    def state(self) -> State:
        """The length of vectors."""
        return {"width": np.array([self.width_], np.int64)}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(self.columns)
        made.width_ = int(state["width"][0])
        return made


@dataclass
class PooledSets(SetVectors):
    """A column of lists of vectors -> the mean of each [n, d] float64, for an estimator of vectors."""

    name: ClassVar[str] = "pooled"

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """Means, and reasons of rows without one."""
        sets, reasons = super().encode(table)
        return np.array([one.vectors.mean(axis=0) for one in sets]).reshape(len(sets), self.width_), reasons


@dataclass
class Sentences:
    """A column of texts -> sets of word vectors of their sentences, object [n], named by how the sentences begin."""

    columns: tuple[str, ...]
    n_dimensions: int = 256
    """At most; fewer where there are fewer sentences."""
    max_parts: int = 32
    """Of a text with more sentences, so many neighbours are one part that there are no more parts."""

    name: ClassVar[str] = "sentences"
    words_: WordVectors = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """What makes vectors of sentences."""
        self.words_ = WordVectors(self.columns, n_dimensions=self.n_dimensions)

    @property
    def feature_names(self) -> list[str]:
        """Numbers of the axes."""
        return self.words_.feature_names

    def fit(self, table: pa.Table) -> Self:
        """Learn words and axes, a sentence a row.

        Raises
        ------
        ValueError
            If no text has a word.
        """
        texts, _ = texts_of(table, self.columns[0])
        self.words_.fit(self._table([part for text in texts for part in parts_of(text, max_parts=self.max_parts)]))
        return self

    def _table(self, parts: list[str]) -> pa.Table:
        return pa.table({self.columns[0]: pa.array(parts, pa.string())})

    def encode(self, table: pa.Table) -> tuple[np.ndarray, list[str | None]]:
        """Sets, and reasons of rows without a text."""
        texts, reasons = texts_of(table, self.columns[0])
        parts = [parts_of(text, max_parts=self.max_parts) or [""] for text in texts]
        X, _ = self.words_.encode(self._table([part for of in parts for part in of]))
        ends = np.cumsum([len(of) for of in parts])
        sets = [
            VectorSet(X[end - len(of) : end].astype(np.float32), tuple(map(_shown, of)))
            for of, end in zip(parts, ends, strict=True)
        ]
        return _as_column(sets), reasons

    def about(self) -> dict[str, Any]:
        """Settings."""
        sizes = {"n_dimensions": self.n_dimensions, "max_parts": self.max_parts}
        return {"name": self.name, "columns": list(self.columns), **sizes}

    def state(self) -> State:
        """That of the words."""
        return self.words_.state()

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(self.columns, self.n_dimensions, self.max_parts)
        made.words_ = made.words_.from_state(state)
        return made


def parts_of(text: str, *, max_parts: int) -> list[str]:
    """Sentences and lines of a text, none empty, neighbours joined where there are more than so many."""
    found = [part for part in map(str.strip, _END.split(text)) if part]
    together = -(-len(found) // max_parts)
    return [" ".join(found[at : at + together]) for at in range(0, len(found), together or 1)]


def _shown(part: str) -> str:
    return part if len(part) <= NAME_CHARACTERS else part[: NAME_CHARACTERS - 1] + "\u2026"
