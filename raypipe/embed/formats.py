"""How vectors are stored: a column of fixed-size lists of one of four kinds of number.

float32 and float16 are the vector. int8 is the vector over its largest number, in 127 steps either way, with that
number in a column beside it: each row is stored without a look at others, and cosines need no scale. binary is a bit a
dimension, 1 where it is above 0, eight in a byte, the first dimension in the highest bit: what ubinary of
sentence-transformers is, and compared by Hamming distance.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa

NumberFormat = Literal["float32", "float16", "int8", "binary"]
EMBEDDING, SCALE = "embedding", "embedding_scale"
_TYPES = {"float32": pa.float32(), "float16": pa.float16(), "int8": pa.int8(), "binary": pa.uint8()}
STEPS = 127


def fields_of(number_format: NumberFormat, n_dimensions: int) -> pa.Schema:
    """The columns of vectors of so many dimensions.

    Raises
    ------
    ValueError
        If bits don't fill the last byte.
    """
    if number_format == "binary" and n_dimensions % 8:
        raise ValueError(f"dimensions must be a multiple of 8 for binary vectors, got {n_dimensions}.")
    size = n_dimensions // 8 if number_format == "binary" else n_dimensions
    scale = [(SCALE, pa.float32())] if number_format == "int8" else []
    return pa.schema([(EMBEDDING, pa.list_(_TYPES[number_format], size)), *scale])


def stored(X: np.ndarray, number_format: NumberFormat) -> Mapping[str, pa.Array]:
    """The columns of vectors [n, d] float32, all finite."""
    if number_format == "int8":
        scale = np.abs(X).max(axis=1, initial=0.0).astype(np.float32)
        divisor = np.where(scale > 0, scale, 1.0)[:, None]
        return {
            EMBEDDING: _lists(np.rint(X / divisor * STEPS).astype(np.int8)),
            SCALE: pa.array(scale / STEPS),
        }
    if number_format == "binary":
        return {EMBEDDING: _lists(np.packbits(X > 0, axis=1))}
    return {EMBEDDING: _lists(X.astype(number_format))}


def _lists(X: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), X.shape[1])
