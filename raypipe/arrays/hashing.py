"""Numbers in [0, 1) from a row's hash or number, the same on every machine, in any order and under any sharding.

A scored row's randomness is a function of (seed, purpose, text_hash): the mixer is a bijection of 64 bits, and eligible
rows have distinct text hashes (of copies one is eligible), so that ties among them are always decided. An id would be
the weaker key: it may be repeated, or hold the path of a file that has since moved.
"""

from hashlib import blake2b

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: its multiples lie evenly."""


def splitmix64(x: np.ndarray) -> np.ndarray:
    """Bits mixed so that each depends on all: [n] uint64 -> [n] uint64, a bijection.

    Source: G. L. Steele et al., Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    return mix64(x + GOLDEN)  # wraps around, as it should


def mix64(x: np.ndarray) -> np.ndarray:
    """Splitmix64's finaliser alone, which leaves 0 as it is: [n] uint64 -> [n] uint64; D. Stafford's variant 13."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def uniform(text_hash: np.ndarray, *, seed: int, purpose: str) -> np.ndarray:
    """[n] int64 -> [n] float64 in [0, 1), of 53 bits; purposes and seeds are independent of one another."""
    return fractions(splitmix64(text_hash.view(np.uint64) ^ np.uint64(bits_of(f"{purpose}:{seed}"))))


def bits_of(words: str) -> int:
    """64 bits that depend on all of a text, from 0 on; half a surrogate pair counts like any character."""
    return int.from_bytes(blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def fractions(bits: np.ndarray) -> np.ndarray:
    """The upper 53 bits as numbers in [0, 1): [n] uint64 -> [n] float64."""
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)
