"""A column of vectors as rows of length 1, and why a row has none."""

import numpy as np
import pyarrow as pa

from raypipe.fitting.vectors import matrix

ZERO = "a vector of length 0"
BLOCK = 8192
"""Rows that are float64 at a time."""


def unit_vectors(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str | None]]:
    """Rows [n, d] float32 of length 1, zeros where a row can't be; and for each row the reason why.

    Raises
    ------
    ValueError
        If vectors are of several lengths, or bits.
    """
    if pa.types.is_nested(column.type) and pa.types.is_uint8(column.type.value_type):
        raise ValueError("vectors must be of numbers, got bits; embed with another --number-format than binary.")
    found: list[np.ndarray] = []
    reasons: list[str | None] = []
    for start in range(0, len(column), BLOCK):
        X, why = matrix([column.slice(start, BLOCK)])
        X[[one is not None for one in why]] = 0.0
        largest = np.abs(X).max(axis=1, keepdims=True, initial=0.0)  # squares of large numbers would be infinite
        X = np.divide(X, largest, out=np.zeros_like(X), where=largest > 0)
        lengths = np.linalg.norm(X, axis=1, keepdims=True)
        found.append(np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 0).astype(np.float32))
        reasons += [one or (None if length > 0 else ZERO) for one, length in zip(why, lengths[:, 0], strict=True)]
    widths = {part.shape[1] for part in found if part.shape[1]}
    if len(widths) > 1:
        raise ValueError(f"vectors of a column must be of one length, got {sorted(widths)}.")
    d = widths.pop() if widths else 0
    return np.concatenate([part if part.shape[1] else np.zeros((len(part), d), np.float32) for part in found] or
                          [np.zeros((0, d), np.float32)]), reasons  # fmt: skip
