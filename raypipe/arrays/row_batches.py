"""Batches of rows whose size matters to nobody: in order, so many at a time."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON


def row_batches(prepared: pa.Table, n_rows: int) -> list[np.ndarray]:
    """Row numbers [at most n_rows] int64 of each batch of a prepared table; rows with a reason are in none."""
    rows = np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy())
    return [rows[start : start + n_rows] for start in range(0, len(rows), n_rows)]
