"""Marks of texts by their lines or paragraphs that stand in earlier documents.

The first document that has a line keeps it; of a later one the share of characters in such lines says how much of it is
new. A document most of which isn't is a duplicate, of the document in which most of it stood first.
Cost: the repeated keys are held by each reader: 24 bytes each, and the ids of the documents that had them first.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.columns import ID, PART, PART_ROW, REASON
from raypipe.contracts.op import ROWS
from raypipe.contracts.row_op import ReaderOp
from raypipe.select.dedup.marks import MARKED, own_rows
from raypipe.select.dedup.text_keys import KEYS, N_CHARS
from raypipe.storage.folder import Folder

REPEATED_FILE, FIRST_FILE = "repeated.parquet", "first-documents.parquet"
COUNTED = pa.schema([("n_units", pa.int32()), ("n_repeated", pa.int32())])


@lru_cache(maxsize=1)
def _repeated(folder: Folder, digest: str) -> tuple[np.ndarray, np.ndarray]:
    """Repeated keys, rising, and the first row that has each."""
    with folder.open(REPEATED_FILE) as file:
        table = pq.read_table(file, columns=["key", "first_row"])
    return table["key"].to_numpy(), table["first_row"].to_numpy()


@lru_cache(maxsize=1)
def _first_documents(folder: Folder, digest: str) -> tuple[np.ndarray, pa.Array]:
    """Rows that have a repeated key first, rising, and their ids."""
    with folder.open(FIRST_FILE) as file:
        table = pq.read_table(file, columns=["row", ID])
    return table["row"].to_numpy(), table[ID].combine_chunks()


@dataclass
class UnitMarks(ReaderOp):
    """The Op that marks documents most of whose lines or paragraphs stand in earlier ones."""

    stage: str
    """Of keys, a list of lines or paragraphs a row."""
    folder: Folder
    """Where the repeated keys, the documents that have them first, and the parts are."""
    digest: str
    """Of these files."""
    min_share: float = 0.8
    """Share of a document's characters in repeated lines or paragraphs from which it is a duplicate."""

    adds: ClassVar[pa.Schema] = pa.schema([*MARKED, *COUNTED])
    version: ClassVar[int] = 1
    unit: ClassVar[str] = ROWS

    @property
    def reads(self) -> tuple[str, ...]:
        """Keys and lengths, and where a row stands."""
        return (f"{self.stage}.{KEYS}", f"{self.stage}.{N_CHARS}", PART, PART_ROW)

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: rows -> `adds` + reason, same rows and order."""
        n = len(table)
        lists, rows = table[self.reads[0]].combine_chunks(), own_rows(table, self.folder, self.digest)
        owner = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        chars = table[self.reads[1]].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        first = self._first_rows(lists.flatten().to_numpy(zero_copy_only=False))
        is_repeated = (first >= 0) & (first != rows[owner])
        total = np.bincount(owner, chars, n)
        share = np.bincount(owner, chars * is_repeated, n) / np.maximum(total, 1)
        source = _most(owner[is_repeated], first[is_repeated], chars[is_repeated], n)
        is_usable = pc.is_null(table[REASON]).to_numpy()
        is_duplicate = is_usable & (share >= self.min_share)
        found = [
            pa.array(is_duplicate, mask=~is_usable),
            self._ids(np.where(is_duplicate, source, -1)),
            pa.array(source, mask=~is_usable | (source < 0)),
            pa.nulls(n, pa.int64()),
            pa.array(share.astype(np.float32), mask=~is_usable),
            pa.array(np.bincount(owner, minlength=n).astype(np.int32), mask=~is_usable),
            pa.array(np.bincount(owner, is_repeated, n).astype(np.int32), mask=~is_usable),
        ]
        return pa.table([*found, table[REASON]], schema=self.adds.append(pa.field(REASON, pa.string())))

    def _first_rows(self, keys: np.ndarray) -> np.ndarray:
        """The first row that has each key [m], -1 of one that isn't repeated."""
        known, first = _repeated(self.folder, self.digest)
        if not len(known):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, first[at], -1)

    def _ids(self, rows: np.ndarray) -> pa.Array:
        """The ids of rows [n] that have a repeated key first, null where -1."""
        known, ids = _first_documents(self.folder, self.digest)
        return ids.take(pa.array(np.searchsorted(known, rows), mask=rows < 0))

    def cost(self, prepared: pa.Table) -> int:
        """Rows."""
        return len(prepared)


def _most(owner: np.ndarray, first: np.ndarray, chars: np.ndarray, n: int) -> np.ndarray:
    """For each of n rows the first row with most of its repeated characters, of equal ones the lowest; -1: none."""
    found = np.full(n, -1, np.int64)
    if not len(owner):
        return found
    pairs, of = np.unique(np.stack([owner, first]), axis=1, return_inverse=True)
    weight = np.bincount(of.ravel(), chars)
    order = np.lexsort((-pairs[1], weight, pairs[0]))  # the last of a row has most, and of these is the lowest
    found[pairs[0][order]] = pairs[1][order]
    return found
