"""Marks of rows whose vectors are near that of another."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raypipe.columns import PART, PART_ROW
from raypipe.select.dedup.marks import ExactMarks
from raypipe.select.dedup.text_keys import KEYS
from raypipe.select.dedup.unit_vectors import unit_vectors


@dataclass
class SemanticMarks(ExactMarks):
    """The Op that writes marks of near vectors; their similarity is the cosine."""

    of: str = ""
    """Column of vectors, `stage.column`; `stage` is that of the cells, which says whose vectors are none."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Vectors, cells, and where a row stands."""
        return (self.of, f"{self.stage}.{KEYS}", PART, PART_ROW)

    def similarity(self, own: pa.ChunkedArray, entries: pa.Table) -> np.ndarray:
        """Cosine of rows [m] and those that stay: [m]."""
        one, other = (unit_vectors(column)[0] for column in (own, entries["reference"]))
        return np.asarray((one * other).sum(axis=1), np.float32)
