"""What Ops share whose readers do all of the work, on CPUs: batches only copy what is prepared."""

from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.arrays.row_batches import row_batches
from raypipe.columns import REASON

BATCH_ROWS = 16_384
KEYS_UNIT = "keys"
"""Unit of cost of Ops that give rows keys to be found by."""


class ReaderOp:
    """The part of an Op that is the same wherever `prepare` gives all columns."""

    padding: ClassVar[int] = 0

    def setup(self, *, n_threads: int) -> None:
        """Nothing is loaded: readers do the work."""

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """Rows in order, so many at a time."""
        return row_batches(prepared, BATCH_ROWS)

    def limits(self) -> dict[str, int]:
        """None: batches only copy."""
        return {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The columns as they were prepared."""
        return batch.drop_columns([REASON])
