"""The clusters, here called cells, that a vector is at home in and is sought in: only rows of a cell are compared.

A row is at home in the cell of its nearest centroid, and visits each whose centroid is at most `margin` less similar.
Two rows x and y of other homes are compared if one visits the other's; so only a pair with (x - y) . (c - d) above
twice the margin, c and d being the centroids of their homes, is never seen. A job measures what share that is.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.arrays.spherical_kmeans import BLOCK
from raypipe.columns import REASON
from raypipe.contracts.row_op import ReaderOp
from raypipe.select.dedup.text_keys import KEYS, KEYS_UNIT
from raypipe.select.dedup.unit_vectors import unit_vectors
from raypipe.storage.folder import Folder

CENTROIDS = "centroids.npy"
CELL_LISTS = pa.list_(pa.int32())


def centroids_file(centroids: np.ndarray) -> bytes:
    """Centroids [k, d] as a file."""
    found = BytesIO()
    np.save(found, centroids.astype(np.float32), allow_pickle=False)
    return found.getvalue()


@lru_cache(maxsize=1)
def centroids_in(folder: Folder, digest: str) -> np.ndarray:
    """Centroids [k, d] float32 of a folder."""
    return np.asarray(np.load(BytesIO(folder.read(CENTROIDS)), allow_pickle=False))


def cells_of(X: np.ndarray, centroids: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """The cells of each row [n, d], its home first: one row after another, int32, and how many each has [n]."""
    found, counts = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for start in range(0, len(X), BLOCK):
        cosines = X[start : start + BLOCK] @ centroids.T  # [BLOCK, k]
        home = cosines.argmax(axis=1)
        is_near = cosines >= cosines[np.arange(len(home)), home][:, None] - np.float32(margin)
        rows, cells = np.nonzero(is_near)
        order = np.lexsort((cells, cells != home[rows], rows))
        found.append(cells[order].astype(np.int32))
        counts.append(is_near.sum(axis=1))
    return np.concatenate(found), np.concatenate(counts)


@dataclass
class VectorCells(ReaderOp):
    """The Op that gives each vector its cells."""

    column: str
    """Of vectors, `stage.column`."""
    folder: Folder
    """Where the centroids are."""
    digest: str
    """Of the centroids."""
    margin: float = 0.05
    """How much less similar a centroid may be than the nearest for its cell to be visited."""

    adds: ClassVar[pa.Schema] = pa.schema([(KEYS, CELL_LISTS)])
    version: ClassVar[int] = 1
    unit: ClassVar[str] = KEYS_UNIT

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.column,)

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: vectors -> cells + reason, same rows and order.

        Raises
        ------
        ValueError
            If vectors aren't of as many numbers as the centroids.
        """
        X, why = unit_vectors(table[self.column])
        centroids = centroids_in(self.folder, self.digest)
        reasons = pc.coalesce(table[REASON], pa.array(why, pa.string()))
        if X.shape[1] not in (0, centroids.shape[1]):
            raise ValueError(f"vectors must be of {centroids.shape[1]} numbers, as before, got {X.shape[1]}.")
        is_usable = pc.is_null(reasons).to_numpy()
        cells, counts = cells_of(X[is_usable], centroids, self.margin)
        n_cells = np.zeros(len(table), np.int64)
        n_cells[is_usable] = counts
        offsets = pa.array(np.concatenate([[0], np.cumsum(n_cells)]).astype(np.int32))
        lists = pa.ListArray.from_arrays(offsets, pa.array(cells, pa.int32()))
        lists = pc.if_else(pa.array(is_usable), lists, pa.scalar(None, CELL_LISTS))
        return pa.table({KEYS: lists, REASON: reasons})

    def cost(self, prepared: pa.Table) -> int:
        """Cells of all rows."""
        return int(pc.sum(pc.list_value_length(prepared[KEYS])).as_py() or 0)


@dataclass
class CellSizes:
    """Gather: how many rows are at home in each cell, and how many visit it."""

    stage: str
    """Of cells."""

    version: ClassVar[int] = 1
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64), init=False, repr=False)
    """[k, 2]: at home, visiting"""

    @property
    def reads(self) -> tuple[str, ...]:
        """The cells."""
        return (f"{self.stage}.{KEYS}",)

    def update(self, table: pa.Table) -> None:
        """Count the cells of rows; those with a reason are left out."""
        lists = table.filter(pc.is_null(table[REASON]))[self.reads[0]].combine_chunks()
        cells = lists.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
        owner = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        is_home = np.ones(len(cells), bool)
        is_home[1:] = owner[1:] != owner[:-1]
        k = int(cells.max(initial=-1)) + 1
        parts = [np.bincount(cells[mine], minlength=k) for mine in (is_home, ~is_home)]
        self._add(np.stack(parts, axis=1))

    def merge(self, other: Self) -> None:
        """Add another's counts."""
        self._add(other.counts)

    def _add(self, counts: np.ndarray) -> None:
        k = max(len(counts), len(self.counts))
        both = [np.pad(one, ((0, k - len(one)), (0, 0))) for one in (self.counts, counts)]
        self.counts = (both[0] + both[1]).astype(np.int64)

    def state(self) -> dict[str, np.ndarray]:
        """The counts."""
        return {"counts": self.counts}

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has these counts."""
        made = type(self)(self.stage)
        made.counts = state["counts"]
        return made

    def result(self) -> dict[str, Any]:
        """Cells, the rows of the largest, and how many cells a row has."""
        home, visiting = self.counts.sum(axis=0).tolist() if len(self.counts) else (0, 0)
        largest = int(self.counts.sum(axis=1).max(initial=0))
        return {"cells": len(self.counts), "rows": home, "visits": visiting, "largest": largest}


def groups_of(counts: np.ndarray, *, row_bytes: int, memory_bytes: float) -> np.ndarray:
    """A group for each cell [k] so that none holds more than the memory: largest cells first, each where it fits.

    Raises
    ------
    ValueError
        If a cell is larger than the memory; with its rows.
    """
    sizes = counts.sum(axis=1) * float(row_bytes)
    if len(sizes) and sizes.max() > memory_bytes:
        at = int(sizes.argmax())
        raise ValueError(
            f"memory_gb must hold the largest cluster, {counts[at].sum():,} rows of {row_bytes:,} bytes "
            f"({sizes[at] / 1e9:.2f} GB), got {memory_bytes / 1e9:g}; raise it or --clusters, or leave exact copies "
            "out of what is embedded."
        )
    group, free = np.zeros(len(sizes), np.int64), list[float]()
    for cell in np.argsort(-sizes, kind="stable"):
        fitting = [at for at, room in enumerate(free) if room >= sizes[cell]]
        if not fitting:
            free.append(memory_bytes)
        at = fitting[0] if fitting else len(free) - 1
        free[at] -= sizes[cell]
        group[cell] = at
    return group
