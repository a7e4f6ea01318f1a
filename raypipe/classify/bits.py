"""Rows of numbers as bits, packed 64 to a word; and clauses of bits evaluated on them."""

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse

Words = np.ndarray
"""uint64; bit b of a row is bit b % 64 of its word b // 64."""
WORD_BITS = 64


def packed(bits: np.ndarray) -> Words:
    """Bits [n, b] bool -> words [n, w]; what is left over of the last word is 0."""
    n, b = bits.shape
    padded = np.zeros((n, -(-b // WORD_BITS) * WORD_BITS), bool)
    padded[:, :b] = bits
    found: np.ndarray = np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64, copy=False)
    return found


def unpacked(words: Words, n_bits: int) -> np.ndarray:
    """Words [..., w] -> bits [..., b] bool."""
    as_bytes = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    found: np.ndarray = np.unpackbits(as_bytes, axis=-1, bitorder="little", count=n_bits).astype(bool)
    return found


def random_words(rng: np.random.Generator, shape: tuple[int, ...], probability: float, *, precision: int = 12) -> Words:
    """Words whose bits are 1 with a probability, to the nearest 2**-precision.

    The binary digits of the probability are gone through from the last: an and with random bits halves what there is,
    an or also adds a half.
    """
    digits = round(probability * 2**precision)
    if digits >= 2**precision:
        return np.full(shape, np.iinfo(np.uint64).max, np.uint64)
    while digits and not digits & 1:  # a half of nothing is nothing
        digits, precision = digits >> 1, precision - 1
    found = np.zeros(shape, np.uint64)
    if digits:
        drawn = rng.integers(0, np.iinfo(np.uint64).max, (precision, *shape), np.uint64, endpoint=True)
        for place, one in enumerate(drawn):
            found = found | one if digits >> place & 1 else found & one
    return found


class Thresholds:
    """What each column is held against: `x > threshold` is a bit."""

    def __init__(self, column: np.ndarray, value: np.ndarray) -> None:
        """Of which column [b] each bit is, and its value [b]."""
        self.column, self.value = column, value

    @classmethod
    def of(cls, X: np.ndarray, *, max_bits: int) -> Self:
        """Between all values of a column where they are few, so that 0 and 1 are one bit, else at its quantiles."""
        columns, values = [], []
        for at, x in enumerate(X.T):
            seen = np.unique(x)
            cuts = seen[:-1]
            if len(cuts) > max_bits:
                shares = np.arange(1, max_bits + 1) / (max_bits + 1)
                cuts = np.setdiff1d(np.unique(np.quantile(x, shares, method="lower")), seen[-1:])
            columns.append(np.full(len(cuts), at))
            values.append(cuts)
        return cls(np.concatenate(columns), np.concatenate(values))

    def bits(self, X: Any) -> np.ndarray:
        """[n, d], dense or CSR -> [n, b] bool, dense."""
        columns = X[:, self.column]
        found: np.ndarray = (columns.toarray() if issparse(columns) else columns) > self.value
        return found

    def chosen(self, bits: np.ndarray) -> "Thresholds":
        """Some of them, by place."""
        return Thresholds(self.column[bits], self.value[bits])


def fires(include: Words, literals: Words) -> np.ndarray:
    """Whether all literals that clauses [..., c, w] include are 1 in a row [w]: [..., c] bool."""
    found: np.ndarray = ~(include & ~literals).any(axis=-1)
    return found
