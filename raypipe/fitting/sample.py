"""Columns of some rows of a run as one matrix: what an estimator is fitted on, the same for any cut of the run.

Rows are drawn by a hash of their texts and a seed: the `n_rows` of the lowest, so that partial draws merge to the draw
of the whole (bottom-k sampling). With ids only those rows are looked at.
Source: E. Cohen and H. Kaplan, Summarizing Data using Bottom-k Sketches, PODC 2007, section 2.
Cost: O(n log n) for each part of n rows; memory of `n_rows` rows of float64.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.arrays.hashing import uniform
from raypipe.columns import ID, REASON, TEXT_HASH
from raypipe.fitting.vectors import matrix


@dataclass
class ColumnSample:
    """A matrix of columns: one of vectors, or several of numbers."""

    columns: tuple[str, ...]
    """`stage.column` each."""
    n_rows: int = 100_000
    """At most so many."""
    seed: int = 0
    """Of the draw."""
    ids: frozenset[str] | None = field(default=None, repr=False)
    """Only these rows; None: all."""

    version: ClassVar[int] = 1
    X: np.ndarray = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)
    """The rows [m, d], by their hash."""
    row_ids: np.ndarray = field(default_factory=lambda: np.empty(0, object), init=False, repr=False)
    """Their ids [m] str."""
    n_seen: int = field(default=0, init=False, repr=False)
    """Rows that were asked for and came through."""
    n_without: int = field(default=0, init=False, repr=False)
    """Of these, those without a whole vector of finite numbers."""
    _keys: np.ndarray = field(default_factory=lambda: np.empty(0), init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the number.

        Raises
        ------
        ValueError
            If it is below 1.
        """
        if self.n_rows < 1:
            raise ValueError(f"n_rows must be at least 1, got {self.n_rows}.")

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    def update(self, table: pa.Table) -> None:
        """Take in rows; those with a reason, or without a whole vector, are left out."""
        rows = table.filter(pc.is_null(table[REASON]))
        if self.ids is not None:
            rows = rows.filter(pc.is_in(rows[ID], pa.array(sorted(self.ids), pa.string())))
        if not len(rows):
            return
        X, reasons = matrix([rows[name] for name in self.columns])
        whole = np.array([reason is None for reason in reasons], bool)
        keys = uniform(rows[TEXT_HASH].to_numpy().astype(np.int64), seed=self.seed, purpose="column sample")
        self.n_seen, self.n_without = self.n_seen + len(rows), self.n_without + int((~whole).sum())
        self._take(X[whole], np.array(rows[ID].to_pylist(), object)[whole], keys[whole])

    def merge(self, other: Self) -> None:
        """Take in what another has."""
        self.n_seen, self.n_without = self.n_seen + other.n_seen, self.n_without + other.n_without
        self._take(other.X, other.row_ids, other._keys)

    def _take(self, X: np.ndarray, ids: np.ndarray, keys: np.ndarray) -> None:
        if not len(X):
            return
        if len(self.X) and self.X.shape[1] != X.shape[1]:
            raise ValueError(f"vectors must be of one length, got {self.X.shape[1]} and {X.shape[1]}.")
        rows = np.concatenate([self.X, X]) if len(self.X) else X
        names, hashes = np.concatenate([self.row_ids, ids]), np.concatenate([self._keys, keys])
        lowest = np.lexsort((names.astype(str), hashes))[: self.n_rows]  # of copies of a text the ids decide
        self.X, self.row_ids, self._keys = rows[lowest], names[lowest], hashes[lowest]

    def state(self) -> dict[str, np.ndarray]:
        """The rows, their ids as UTF-8 end to end, their hashes, and the counts."""
        encoded = [str(name).encode() for name in self.row_ids]
        return {
            "X": self.X,
            "ids": np.frombuffer(b"".join(encoded), np.uint8),
            "id_bytes": np.array([len(one) for one in encoded], np.int64),
            "keys": self._keys,
            "counts": np.array([self.n_seen, self.n_without], np.int64),
        }

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has this state."""
        made = type(self)(self.columns, self.n_rows, self.seed, self.ids)
        raw, cuts = state["ids"].tobytes(), np.concatenate([[0], np.cumsum(state["id_bytes"])]).astype(int)
        made.row_ids = np.array([raw[a:b].decode() for a, b in pairwise(cuts)], object)
        made.X, made._keys = state["X"], state["keys"]
        made.n_seen, made.n_without = map(int, state["counts"])
        return made

    def result(self) -> dict[str, Any]:
        """How many rows of how many numbers, of how many, and a hash of them."""
        digest = blake2b(np.ascontiguousarray(self.X).tobytes() + "\0".join(self.row_ids).encode(), digest_size=16)
        counts = {"rows": len(self.X), "features": self.X.shape[1], "seen": self.n_seen, "without": self.n_without}
        return {**counts, "digest": digest.hexdigest()}
