"""Rows that share a key, found by sorting: whole texts, bands of signatures, lines and paragraphs.

Cost: 16 bytes a key of the group while it is gathered, about 50 while it is sorted; O(n log n).
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON
from raypipe.select.dedup.text_keys import KEYS

BYTES_A_KEY = 50
"""Measured while keys are sorted."""
LINKS = pa.schema([("row", pa.int64()), ("other", pa.int64())])
"""A row, and an earlier one that it belongs to, both numbered in the order of the corpus."""
REPEATED = pa.schema([("key", pa.uint64()), ("first_row", pa.int64()), ("n_documents", pa.int64())])
"""A key of several documents, the first of them, and how many they are."""


@dataclass
class KeyedRows:
    """Keys of one group with the rows that have them, in the order of the corpus."""

    group: int
    n_groups: int
    keys: list[np.ndarray] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)

    def update(self, lists: pa.ChunkedArray, first_row: int) -> None:
        """Take in the keys [n] of rows, lists of uint64 or null."""
        column = lists.combine_chunks()
        keys = column.flatten().to_numpy(zero_copy_only=False)
        rows = first_row + pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        if self.n_groups > 1:
            mine = keys % np.uint64(self.n_groups) == np.uint64(self.group)
            keys, rows = keys[mine], rows[mine]
        self.keys.append(keys)
        self.rows.append(rows.astype(np.int64))

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys and rows, by key and then by row, a key of a row once; what was gathered is given up."""
        keys = np.concatenate([*self.keys, np.zeros(0, np.uint64)])
        rows = np.concatenate([*self.rows, np.zeros(0, np.int64)])
        self.keys.clear()
        self.rows.clear()
        order = np.argsort(keys, kind="stable")  # rows of a key stay in their order
        keys, rows = keys[order], rows[order]
        is_new = np.ones(len(keys), bool)
        is_new[1:] = (keys[1:] != keys[:-1]) | (rows[1:] != rows[:-1])
        return keys[is_new], rows[is_new]


def _starts(keys: np.ndarray) -> np.ndarray:
    """Where each key of a sorted array begins."""
    is_first = np.ones(len(keys), bool)
    is_first[1:] = keys[1:] != keys[:-1]
    return np.flatnonzero(is_first)


@dataclass
class KeyLinker:
    """What linkers of keys share: the keys of one group, gathered."""

    stage: str
    """Whose column `keys` is read."""
    group: int = 0
    n_groups: int = 1
    _found: KeyedRows | None = field(default=None, init=False, repr=False, compare=False)

    version: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """The keys."""
        return (f"{self.stage}.{KEYS}",)

    def update(self, table: pa.Table, first_row: int) -> None:
        """Take in the keys of rows."""
        if self._found is None:
            self._found = KeyedRows(self.group, self.n_groups)
        self._found.update(_usable(table, self.reads[0]), first_row)

    def grouped(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Keys and rows, sorted; where each key begins, and how many rows have it."""
        keys, rows = (self._found or KeyedRows(0, 1)).sorted()
        starts = _starts(keys)
        return keys, rows, starts, np.diff(np.append(starts, len(keys)))


@dataclass
class SharedKeys(KeyLinker):
    """Linker: each row that shares a key with an earlier one, and the first that has it."""

    def result(self) -> pa.Table:
        """LINKS, each once, by row."""
        _, rows, starts, sizes = self.grouped()
        others = np.repeat(rows[starts], sizes)
        is_later = np.ones(len(rows), bool)
        is_later[starts] = False
        pairs = np.unique(np.stack([rows[is_later], others[is_later]]), axis=1)
        return pa.table([pa.array(pairs[0]), pa.array(pairs[1])], schema=LINKS)


@dataclass
class RepeatedKeys(KeyLinker):
    """Linker: the keys that several documents have."""

    min_documents: int = 2
    """Documents that a key must be in."""

    def result(self) -> pa.Table:
        """REPEATED, by key."""
        keys, rows, starts, sizes = self.grouped()
        many = sizes >= self.min_documents
        columns = [keys[starts[many]], rows[starts[many]], sizes[many].astype(np.int64)]
        return pa.table([pa.array(column) for column in columns], schema=REPEATED)


def _usable(table: pa.Table, name: str) -> pa.ChunkedArray:
    """A column, null where a row has a reason."""
    column = table[name]
    if table[REASON].null_count == len(table):
        return column
    keep = np.where(pc.is_null(table[REASON]).to_numpy(), np.arange(len(table)), -1)
    return column.take(pa.array(keep, mask=keep < 0))
