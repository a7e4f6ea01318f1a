"""Columns of a table as one matrix: a column of vectors, or columns of numbers side by side, in the order named."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NO_VECTOR, NOT_FINITE = "no vector", "a vector with numbers that aren't finite"


def matrix(columns: list[pa.ChunkedArray]) -> tuple[np.ndarray, list[str | None]]:
    """Rows of numbers [n, d] float64, zeros where a row has none, and for each row the reason why it isn't whole.

    Raises
    ------
    ValueError
        If vectors of a column are of several lengths.
    """
    parts = [_matrix(column.combine_chunks()) for column in columns]
    X = np.concatenate([part for part, _ in parts], axis=1)
    is_there = np.logical_and.reduce([there for _, there in parts])
    is_finite = np.isfinite(X).all(axis=1)
    reasons = [
        None if there and finite else NOT_FINITE if there else NO_VECTOR
        for there, finite in zip(is_there, is_finite, strict=True)
    ]
    return X, reasons


def _matrix(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """A column of numbers or of lists of as many as [n, d], zeros where a row has none, and which have: [n]."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if not pa.types.is_nested(column.type):
        return pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy()[:, None], valid
    lengths = set(pc.list_value_length(column).drop_null().to_pylist())
    if len(lengths) > 1:
        raise ValueError(f"vectors of a column must be of one length, got {sorted(lengths)}.")
    X = np.zeros((len(column), lengths.pop() if lengths else 0))
    numbers = pc.fill_null(column.drop_null().flatten().cast(pa.float64()), np.nan).to_numpy()
    X[valid] = numbers.reshape(int(valid.sum()), X.shape[1])
    return X, valid
