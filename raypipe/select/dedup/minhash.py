"""MinHash signatures of texts, and bands of them as keys: near copies share one, with a chance that Jaccard decides.

Sources: A. Broder, On the Resemblance and Containment of Documents, SEQUENCES 1997 (min-wise hashing of shingles);
J. Leskovec et al., Mining of Massive Datasets, section 3.4 (banding and its S-curve); P. Li, C. König, b-Bit Minwise
Hashing, WWW 2010 (a signature needs few bits of each hash); M. Dietzfelbinger et al., J. Algorithms 25 (1997)
(multiply-add as the family of hashes).
Departures: shingles are runs of lower-case words of any script, a text of fewer words than a run is one shingle; the
order of hashes is that of 64 bits of a * h + b of shingles that are mixed already; stored are 16 bits of each.
Cost: bands * rows multiplications a shingle, 40 microseconds a text of 300 words and 112 hashes, on one core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.arrays.hashing import GOLDEN, mix64, splitmix64
from raypipe.arrays.ngrams import words_of
from raypipe.columns import REASON, TEXT
from raypipe.contracts.row_op import ReaderOp
from raypipe.select.dedup.marks import ExactMarks
from raypipe.select.dedup.text_keys import KEY_LISTS, KEYS, KEYS_UNIT, text_key, texts_of

SIGNATURE = "signature"
CHUNK = 32_768
"""Shingles hashed together: they stay in a core's cache."""
MAX_WORDS = 1_000_000
"""Words whose hash is remembered by a process."""


@dataclass(frozen=True)
class Bands:
    """How many bands a signature has, of how many hashes each: two texts are linked if they agree in a whole band."""

    bands: int = 14
    rows: int = 8

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ValueError
            If one is below 1, or there are more than 4096 hashes.
        """
        if self.bands < 1 or self.rows < 1 or self.bands * self.rows > 4096:
            raise ValueError(
                f"bands and rows_per_band must be at least 1 and 4096 hashes in all, got {self.bands} and {self.rows}."
            )

    def chance(self, jaccard: np.ndarray | float) -> np.ndarray:
        """That two texts of this Jaccard similarity are linked: the S-curve, 1 - (1 - s ** rows) ** bands."""
        return np.asarray(1 - (1 - np.asarray(jaccard, float) ** self.rows) ** self.bands)

    @property
    def threshold(self) -> float:
        """Where the S-curve is steepest, about: (1 / bands) ** (1 / rows)."""
        return float((1 / self.bands) ** (1 / self.rows))

    def said(self) -> str:
        """The curve in a line."""
        curve = ", ".join(f"{s:g}: {100 * float(self.chance(s)):.3g} %" for s in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9))
        return f"{self.bands} bands of {self.rows} hashes; chance to find two texts of Jaccard {curve}"


class _WordHashes(dict[str, int]):
    def __missing__(self, word: str) -> int:
        if len(self) >= MAX_WORDS:
            self.clear()
        found = self[word] = text_key(word)
        return found


_WORD_HASHES = _WordHashes()


def shingles_of(texts: Sequence[str], ngram: int) -> tuple[np.ndarray, np.ndarray]:
    """64-bit hashes of the runs of `ngram` words of each text, one text after another, and how many each has [n]."""
    words = [words_of(text) for text in texts]
    lengths = np.array([len(one) for one in words], np.int64)
    hashes = np.fromiter((_WORD_HASHES[word] for of in words for word in of), np.uint64, int(lengths.sum()))
    n_runs = np.where(lengths > 0, np.maximum(lengths - ngram + 1, 1), 0)
    first = np.repeat(np.cumsum(lengths) - lengths, n_runs)
    starts = first + np.arange(len(first)) - np.repeat(np.cumsum(n_runs) - n_runs, n_runs)
    ends = np.repeat(np.cumsum(lengths), n_runs)
    found = np.zeros(len(starts), np.uint64)
    for at in range(ngram):
        inside = starts + at < ends  # a text of fewer words is one run
        found[inside] = mix64(found[inside] * GOLDEN + hashes[starts[inside] + at])
    return found, n_runs


def signatures(shingles: np.ndarray, n_runs: np.ndarray, *, n_hashes: int, seed: int) -> np.ndarray:
    """The lowest value of each hash over each text's shingles: [n, n_hashes] uint64; of a text without any all ones."""
    drawn = splitmix64(np.arange(2 * n_hashes, dtype=np.uint64) + np.uint64(seed * int(GOLDEN) % 2**64))
    factors, offsets = drawn[:n_hashes] | np.uint64(1), drawn[n_hashes:]
    found = np.full((len(n_runs), n_hashes), np.iinfo(np.uint64).max)
    stops = np.cumsum(n_runs)
    row = 0
    while row < len(n_runs):
        start = int(stops[row] - n_runs[row])
        last = max(row + 1, int(np.searchsorted(stops, start + CHUNK, side="right")))
        part, filled = shingles[start : stops[last - 1]], row + np.flatnonzero(n_runs[row:last])
        if len(filled):
            begins, values = stops[filled] - n_runs[filled] - start, np.empty_like(part)
            for at in range(n_hashes):
                np.multiply(part, factors[at], out=values)
                values += offsets[at]  # wraps around, as it should
                found[filled, at] = np.minimum.reduceat(values, begins)
        row = last
    return found


def band_keys(signature: np.ndarray, bands: Bands) -> np.ndarray:
    """A key for each band of signatures [n, bands * rows] uint64: [n, bands] uint64; no two bands share keys."""
    parts = signature.reshape(len(signature), bands.bands, bands.rows)
    found = np.broadcast_to(splitmix64(np.arange(bands.bands, dtype=np.uint64)), parts.shape[:2]).copy()
    for at in range(bands.rows):
        found = splitmix64(found ^ parts[:, :, at])
    return found


@dataclass
class MinHashKeys(ReaderOp):
    """The Op that gives each text a signature, and a key for each band of it; a text without a word has no key."""

    ngram: int = 5
    """Words of a shingle."""
    bands: Bands = Bands()
    seed: int = 0
    """Of the hashes."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    version: ClassVar[int] = 1
    unit: ClassVar[str] = KEYS_UNIT

    def __post_init__(self) -> None:
        """Check the length of a shingle.

        Raises
        ------
        ValueError
            If it is below 1.
        """
        if self.ngram < 1:
            raise ValueError(f"ngram must be at least 1, got {self.ngram}.")

    @property
    def adds(self) -> pa.Schema:
        """Keys, and 16 bits of each hash."""
        return pa.schema([(KEYS, KEY_LISTS), (SIGNATURE, pa.list_(pa.uint16(), self.bands.bands * self.bands.rows))])

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: texts -> `adds` + reason, same rows and order."""
        texts = texts_of(table)
        is_text = np.array([text is not None for text in texts], bool)
        shingles, n_runs = shingles_of([text or "" for text in texts], self.ngram)
        found = signatures(shingles, n_runs, n_hashes=self.bands.bands * self.bands.rows, seed=self.seed)
        has_keys = np.repeat(n_runs > 0, self.bands.bands)
        keys = band_keys(found, self.bands).ravel()[has_keys]
        offsets = np.concatenate([[0], np.cumsum(np.where(n_runs > 0, self.bands.bands, 0))]).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(keys, pa.uint64()))
        low = pa.array((found & np.uint64(0xFFFF)).astype(np.uint16).ravel())
        sixteen = pa.FixedSizeListArray.from_arrays(low, self.bands.bands * self.bands.rows)
        null = [pa.scalar(None, column.type) for column in self.adds]
        columns = [pc.if_else(pa.array(is_text), one, no) for one, no in zip((lists, sixteen), null, strict=True)]
        return pa.table([*columns, table[REASON]], schema=self.adds.append(pa.field(REASON, pa.string())))

    def cost(self, prepared: pa.Table) -> int:
        """Keys."""
        return int(pc.sum(pc.list_value_length(prepared[KEYS])).as_py() or 0)


@dataclass
class MinHashMarks(ExactMarks):
    """The Op that writes marks of near copies; their similarity is the share of hashes that agree."""

    column: ClassVar[str] = SIGNATURE

    def similarity(self, own: pa.ChunkedArray, entries: pa.Table) -> np.ndarray:
        """Jaccard similarity of rows [m] to those that stay, as their signatures estimate it: [m]."""
        one, other = (_hashes(column) for column in (own, entries["reference"]))
        return np.asarray((one == other).mean(axis=1), np.float32)


def _hashes(column: pa.ChunkedArray) -> np.ndarray:
    lists = column.combine_chunks()
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), -1))
