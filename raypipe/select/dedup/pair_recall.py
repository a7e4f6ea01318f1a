"""What share of the near pairs of vectors cells let be seen, against brute force for some rows and all others.

Cost: 2 n m d multiplications, for m rows that are asked about.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON, TEXT_HASH
from raypipe.select.dedup.cells import cells_of
from raypipe.select.dedup.text_keys import KEYS
from raypipe.select.dedup.unit_vectors import unit_vectors


@dataclass
class PairRecall:
    """Gather: of the pairs that some rows have with all others, by brute force, how many their cells let be seen."""

    column: str
    """Of vectors, `stage.column`."""
    stage: str
    """Of cells."""
    asked: np.ndarray = field(repr=False)
    """The rows' vectors [m, d] float32 of length 1."""
    centroids: np.ndarray = field(repr=False)
    margin: float
    min_cosine: float
    digest: str
    """Of the rows and the centroids."""
    n_pairs: int = field(default=0, init=False, repr=False)
    n_seen: int = field(default=0, init=False, repr=False)

    version: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """Cells and vectors."""
        return (f"{self.stage}.{KEYS}", self.column)

    def update(self, table: pa.Table) -> None:
        """Count the pairs of rows with those that are asked about; copies of the same vector are left out."""
        rows = table.filter(pc.is_null(table[REASON])).select([TEXT_HASH, *self.reads])
        if not len(rows) or not len(self.asked):
            return
        X, _ = unit_vectors(rows[self.column])
        lists = rows[self.reads[0]].combine_chunks()
        home = lists.flatten().to_numpy(zero_copy_only=False)[lists.offsets.to_numpy()[:-1] - lists.offsets[0].as_py()]
        flat, counts = cells_of(self.asked, self.centroids, self.margin)
        starts = np.cumsum(counts) - counts
        cosines = X @ self.asked.T  # [n, m]
        for row, of in zip(*np.nonzero((cosines >= self.min_cosine) & (cosines < 1 - 1e-6)), strict=True):
            cells = flat[starts[of] : starts[of] + counts[of]]
            self.n_pairs += 1
            self.n_seen += bool(home[row] in cells or cells[0] in lists[int(row)].values.to_numpy())

    def merge(self, other: Self) -> None:
        """Add another's counts."""
        self.n_pairs, self.n_seen = self.n_pairs + other.n_pairs, self.n_seen + other.n_seen

    def state(self) -> dict[str, np.ndarray]:
        """The counts."""
        return {"counts": np.array([self.n_pairs, self.n_seen], np.int64)}

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has these counts."""
        made = type(self)(
            self.column, self.stage, self.asked, self.centroids, self.margin, self.min_cosine, self.digest
        )
        made.n_pairs, made.n_seen = map(int, state["counts"])
        return made

    def result(self) -> dict[str, Any]:
        """Pairs by brute force, and how many of them are seen."""
        return {"rows_asked": len(self.asked), "pairs": self.n_pairs, "seen": self.n_seen}
