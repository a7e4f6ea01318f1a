"""What Ops share whose batches are so many rows, whatever these hold."""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON
from raypipe.contracts.op import ROWS


class RowOp:
    """The part of an Op that is the same for all of them; each says its own `batch_rows`."""

    unit: ClassVar[str] = ROWS
    padding: ClassVar[int] = 0
    batch_rows: ClassVar[int]

    def prepare(self, table: pa.Table) -> pa.Table:
        """The columns as they are: workers do the work."""
        return table

    def setup(self, *, n_threads: int) -> None:
        """Nothing is loaded."""

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """Row numbers int64 in order, so many at a time; rows with a reason are in none."""
        rows = np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy())
        return [rows[start : start + self.batch_rows] for start in range(0, len(rows), self.batch_rows)]

    def cost(self, prepared: pa.Table) -> int:
        """Rows."""
        return len(prepared)

    def limits(self) -> dict[str, int]:
        """None: batches are of so many rows, whatever the settings."""
        return {}


class ReaderOp(RowOp):
    """One whose readers do all of the work, on CPUs, in `prepare`: batches only copy what that gives."""

    batch_rows: ClassVar[int] = 16_384

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The columns as they were prepared."""
        return batch.drop_columns([REASON])
