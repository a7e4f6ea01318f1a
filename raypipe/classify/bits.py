"""Rows of numbers as bits, packed 64 to a word; and clauses of bits evaluated on them."""

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse

Words = np.ndarray
"""uint64; bit b of a row is bit b % 64 of its word b // 64."""
WORD_BITS = 64
_GAMMA, _LAST_SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(31)
_MIXING = (
    (np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)),
    (np.uint64(27), np.uint64(0x94D049BB133111EB)),
)
"""How SplitMix64 mixes what it counts up by _GAMMA: a shift and a factor, twice."""


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


class Draws:
    """Random words one after the other from a seed of 64 bits, by SplitMix64: each is known by its place alone.

    Source: G. Steele et al., Fast splittable pseudorandom number generators, OOPSLA 2014, section 4.
    """

    def __init__(self, seed: int) -> None:
        """From the first one on."""
        self._last = np.uint64(seed)

    def words(self, n: int) -> Words:
        """The next n."""
        found: Words = np.arange(n + 1, dtype=np.uint64) * _GAMMA + self._last
        self._last = found[-1]
        found = found[1:]
        for shift, factor in _MIXING:
            found ^= found >> shift
            found *= factor
        found ^= found >> _LAST_SHIFT
        return found

    def uniform(self, n: int) -> np.ndarray:
        """The next n as numbers in [0, 1)."""
        found: np.ndarray = (self.words(n) >> np.uint64(11)) * 2.0**-53
        return found


def digits_of(probability: float) -> tuple[int, int]:
    """A probability as `digits` of 2**-precision, to 12 binary ones; those that are 0 at the end are left out."""
    digits, precision = round(probability * 2**12), 12
    while digits and not digits & 1:  # a half of nothing is nothing
        digits, precision = digits >> 1, precision - 1
    return digits, precision


def random_words(draws: Draws, shape: tuple[int, ...], probability: float) -> Words:
    """Words whose bits are 1 with a probability, to the nearest 2**-12.

    The binary digits of the probability are gone through from the last: an and with random bits halves what there is,
    an or also adds a half.
    """
    digits, precision = digits_of(probability)
    if digits >> precision:
        return np.full(shape, np.iinfo(np.uint64).max, np.uint64)
    found = np.zeros(shape, np.uint64)
    if digits:
        for place, one in enumerate(draws.words(precision * found.size).reshape(precision, *shape)):
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
