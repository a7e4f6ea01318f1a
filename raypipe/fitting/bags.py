"""Bags of vectors drawn from a column of lists: of each row at most so many, and of a run at most so many rows.

What an estimator of sets or bags is fitted on, the same for any cut of the run. Rows are drawn by a hash of their texts
and a seed, as in ColumnSample; of a row with more vectors than are kept, these are drawn by the same hash, once. Bags
of very different sizes so cost the same memory.
Source: E. Cohen and H. Kaplan, Summarizing Data using Bottom-k Sketches, PODC 2007, section 2 (of rows).
Cost: O(n log n) for a part of n rows; memory of n_bags x max_vectors vectors of float32.
"""

from collections.abc import Iterator
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

MAX_VECTORS = 256


def bags_of(column: pa.ChunkedArray, hashes: np.ndarray, *, max_vectors: int, seed: int) -> Iterator[np.ndarray]:
    """The vectors [l, d] float32 of each row of lists, l = 0 where it has none that is whole; few are drawn of many.

    Raises
    ------
    ValueError
        If the column is of something else, or vectors are of several lengths.
    """
    lists = column.combine_chunks()
    if not (pa.types.is_nested(lists.type) and pa.types.is_nested(lists.type.value_type)):
        raise ValueError(f"a column of bags must be of lists of vectors, got {lists.type}.")
    X, reasons = matrix([pa.chunked_array([lists.flatten()])])
    is_whole = np.array([reason is None for reason in reasons], bool)
    ends = np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy())
    for start, end, key in zip(np.concatenate([[0], ends[:-1]]), ends, hashes, strict=True):
        rows = start + np.flatnonzero(is_whole[start:end])
        if len(rows) > max_vectors:
            rng = np.random.default_rng([seed, int(key) % 2**63])
            rows = np.sort(rng.choice(rows, max_vectors, replace=False))
        yield X[rows].astype(np.float32)


@dataclass
class BagSample:
    """Bags of a column of lists of vectors, with their ids."""

    column: str
    """`stage.column`"""
    n_bags: int = 100_000
    """At most so many."""
    max_vectors: int = MAX_VECTORS
    """Of a bag, at most so many."""
    seed: int = 0
    """Of the draws."""
    ids: frozenset[str] | None = field(default=None, repr=False)
    """Only these rows; None: all."""

    version: ClassVar[int] = 1
    bags: list[np.ndarray] = field(default_factory=list, init=False, repr=False)
    """Vectors [l, d] float32 each, by the hash of their row."""
    row_ids: list[str] = field(default_factory=list, init=False, repr=False)
    sizes: list[int] = field(default_factory=list, init=False, repr=False)
    """Vectors that each has in all."""
    n_seen: int = field(default=0, init=False, repr=False)
    """Rows that were asked for and came through."""
    n_without: int = field(default=0, init=False, repr=False)
    """Of these, those without a vector of finite numbers."""
    _keys: list[float] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ValueError
            If one is below 1.
        """
        if min(self.n_bags, self.max_vectors) < 1:
            raise ValueError(f"n_bags and max_vectors must be at least 1, got {self.n_bags} and {self.max_vectors}.")

    @property
    def reads(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def update(self, table: pa.Table) -> None:
        """Take in rows; those with a reason, or without a whole vector, are left out."""
        rows = table.filter(pc.is_null(table[REASON]))
        if self.ids is not None:
            rows = rows.filter(pc.is_in(rows[ID], pa.array(sorted(self.ids), pa.string())))
        if not len(rows):
            return
        hashes = rows[TEXT_HASH].to_numpy().astype(np.int64)
        keys, lists = uniform(hashes, seed=self.seed, purpose="bag sample"), rows[self.column]
        bags = list(bags_of(lists, hashes, max_vectors=self.max_vectors, seed=self.seed))
        sizes = pc.fill_null(pc.list_value_length(lists), 0).to_pylist()
        there = [at for at, bag in enumerate(bags) if len(bag)]
        self.n_seen, self.n_without = self.n_seen + len(rows), self.n_without + len(rows) - len(there)
        names = rows[ID].to_pylist()
        kept = [keys[at] for at in there]
        self._take([bags[at] for at in there], [names[at] for at in there], [sizes[at] for at in there], kept)

    def merge(self, other: Self) -> None:
        """Take in what another has."""
        self.n_seen, self.n_without = self.n_seen + other.n_seen, self.n_without + other.n_without
        self._take(other.bags, other.row_ids, other.sizes, other._keys)

    def _take(self, bags: list[np.ndarray], ids: list[str], sizes: list[int], keys: list[float]) -> None:
        every, names = self.bags + bags, self.row_ids + ids
        if len(widths := {bag.shape[1] for bag in every}) > 1:
            raise ValueError(f"vectors must be of one length, got {sorted(widths)}.")
        hashes, counts = self._keys + keys, self.sizes + sizes
        lowest = sorted(range(len(every)), key=lambda at: (hashes[at], names[at]))[: self.n_bags]
        self.bags, self.row_ids = [every[at] for at in lowest], [names[at] for at in lowest]
        self.sizes, self._keys = [counts[at] for at in lowest], [hashes[at] for at in lowest]

    def state(self) -> dict[str, np.ndarray]:
        """The vectors end to end, how many each bag has, ids as UTF-8 end to end, hashes, sizes and counts."""
        encoded = [name.encode() for name in self.row_ids]
        return {
            "X": np.concatenate(self.bags) if self.bags else np.empty((0, 0), np.float32),
            "lengths": np.array([len(bag) for bag in self.bags], np.int64),
            "ids": np.frombuffer(b"".join(encoded), np.uint8),
            "id_bytes": np.array([len(one) for one in encoded], np.int64),
            "keys": np.array(self._keys, np.float64),
            "sizes": np.array(self.sizes, np.int64),
            "counts": np.array([self.n_seen, self.n_without], np.int64),
        }

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has this state."""
        made = type(self)(self.column, self.n_bags, self.max_vectors, self.seed, self.ids)
        raw, cuts = state["ids"].tobytes(), _borders(state["id_bytes"])
        made.row_ids = [raw[a:b].decode() for a, b in pairwise(cuts)]
        made.bags = [state["X"][a:b] for a, b in pairwise(_borders(state["lengths"]))]
        made.sizes, made._keys = state["sizes"].tolist(), state["keys"].tolist()
        made.n_seen, made.n_without = map(int, state["counts"])
        return made

    def result(self) -> dict[str, Any]:
        """How many bags of how many vectors, of how many, and a hash of them."""
        digest = blake2b("\0".join(self.row_ids).encode(), digest_size=16)
        for bag in self.bags:
            digest.update(np.ascontiguousarray(bag).tobytes())
        counts = {"bags": len(self.bags), "vectors": sum(map(len, self.bags)), "seen": self.n_seen}
        return {**counts, "without": self.n_without, "digest": digest.hexdigest()}


def _borders(lengths: np.ndarray) -> list[int]:
    return [0, *np.cumsum(lengths).astype(int).tolist()]
