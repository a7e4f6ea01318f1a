"""What training sees, how often and in which order: a pure function of (tokens, weights, seed, epoch, length).

An epoch: source shards are permuted and joined into windows of about `window_tokens`; a document of weight w is in
floor(w) windows, and in one more with probability frac(w); inside a window documents are permuted. Epoch after epoch is
one stream of tokens without end, cut into sequences of `length`. A document that a cut divides goes on in the next
sequence as a document of its own: what is before the cut isn't seen.

Copies of a document lie in different windows as far as there are enough: copy c of a shard's documents belongs to the
window `c * stride` after the shard's own.

Cost: O(rows) for an epoch and O(rows of it) for a window, both held; about 40 bytes a row of the listing for an epoch.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from raypipe.arrays.hashing import GOLDEN, bits_of, fractions, mix64
from raypipe.train.data.index import Mix

WINDOWS_HELD = 4


class Pieces(NamedTuple):
    """Consecutive parts of documents, `m` in the order in which they are seen."""

    rows: np.ndarray  # [m] int64, of the listing
    begins: np.ndarray  # [m] int64, first token in the document
    sizes: np.ndarray  # [m] int64, tokens
    windows: np.ndarray  # [m, 2] int64: epoch and window


@dataclass(frozen=True)
class Place:
    """Where a token of the stream comes from."""

    path: str
    row: int
    """Of the source file."""
    token: int
    """Of the document."""
    epoch: int


@dataclass
class Epoch:
    """The windows of one pass over a mix."""

    mix: Mix
    seed: int
    number: int
    window_tokens: int

    def __post_init__(self) -> None:
        listing = self.mix.listing
        self.copies = self._copies()
        most = int(self.copies.max(initial=0))
        per_file = np.stack([self._tokens_by_file(copy) for copy in range(max(1, most))])
        self.n_windows = max(1, -(-int(per_file[0].sum()) // self.window_tokens))
        self.stride = max(1, self.n_windows // max(1, most))
        order = np.argsort(hashed(np.arange(len(listing.files)), self.seed, self.number, "shards"), kind="stable")
        before = np.cumsum(per_file[0][order]) - per_file[0][order]
        self.base = np.empty(len(order), np.int64)
        self.base[order] = np.minimum(before // self.window_tokens, self.n_windows - 1)
        sizes = np.zeros(self.n_windows, np.int64)
        for copy in range(len(per_file)):
            np.add.at(sizes, self.window_of_files(copy), per_file[copy])
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        """[windows + 1] tokens before each, and all."""

    def _copies(self) -> np.ndarray:
        weight, n_tokens = self.mix.weight.astype(np.float64), self.mix.listing.n_tokens
        whole = np.floor(weight)
        drawn = uniform(np.arange(len(weight)), self.seed, self.number, "copies") < weight - whole
        return np.where(n_tokens > 0, whole + drawn, 0).astype(np.int32)

    def _tokens_by_file(self, copy: int) -> np.ndarray:
        borders = self.mix.listing.borders
        before = np.concatenate([[0], np.cumsum(np.where(self.copies > copy, self.mix.listing.n_tokens, 0))])
        return np.asarray(before[borders[1:]] - before[borders[:-1]], dtype=np.int64)

    @property
    def n_tokens(self) -> int:
        """Tokens of the whole pass."""
        return int(self.starts[-1])

    def window_of_files(self, copy: int) -> np.ndarray:
        """[files] the window that the copies of this number of each file's documents are in."""
        return np.asarray((self.base + copy * self.stride) % self.n_windows)

    def documents(self, window: int) -> np.ndarray:
        """[m] rows of the window in the order in which they are seen."""
        borders, rows, keys = self.mix.listing.borders, [], []
        for copy in range(int(self.copies.max(initial=0))):
            for file in np.flatnonzero(self.window_of_files(copy) == window):
                part = borders[file] + np.flatnonzero(self.copies[borders[file] : borders[file + 1]] > copy)
                rows.append(part)
                keys.append(hashed(part, self.seed, self.number, f"documents {copy}"))
        if not rows:
            return np.zeros(0, np.int64)
        return np.asarray(np.concatenate(rows)[np.argsort(np.concatenate(keys), kind="stable")])


@dataclass
class DataOrder:
    """The tokens of a mix in the order of training, by position."""

    mix: Mix
    seed: int
    length: int
    window_tokens: int = 1 << 25
    _epochs: OrderedDict[int, Epoch] = field(default_factory=OrderedDict, init=False, repr=False)
    _windows: OrderedDict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = field(
        default_factory=OrderedDict, init=False, repr=False
    )
    _starts: list[int] = field(default_factory=lambda: [0], init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises
        ------
        ValueError
            If a length is too short, or the mix holds nothing to see.
        """
        if self.length < 2:
            raise ValueError(f"length must be at least 2 tokens (a loss needs a token before it), got {self.length}.")
        if self.window_tokens < self.length:
            raise ValueError(f"window_tokens must be at least length ({self.length}), got {self.window_tokens}.")
        if not (self.mix.weight[self.mix.listing.n_tokens > 0] > 0).any():
            raise ValueError("the mix must hold a document with tokens and a weight above 0, got none.")

    def sequence(self, number: int) -> Pieces:
        """The documents of a sequence, in all `length` tokens."""
        return self.pieces(number * self.length, (number + 1) * self.length)

    def pieces(self, start: int, stop: int) -> Pieces:
        """The documents, or parts of them, between two positions of the stream."""
        parts: list[Pieces] = []
        while start < stop:
            epoch, first = self._epoch_at(start)
            window = int(np.searchsorted(self._epoch(epoch).starts, start - first, side="right")) - 1
            rows, cuts = self._window(epoch, window)
            offset = first + int(self._epoch(epoch).starts[window])
            end = min(stop - offset, int(cuts[-1]))
            parts.append(_between(rows, cuts, start - offset, end, (epoch, window)))
            start = offset + end
        return Pieces(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def locate(self, position: int) -> Place:
        """The source file, row and token at a position."""
        piece = self.pieces(position, position + 1)
        path, row = self.mix.listing.place(int(piece.rows[0]))
        return Place(path, row, int(piece.begins[0]), int(piece.windows[0, 0]))

    def n_windows(self, epoch: int) -> int:
        """Windows of an epoch."""
        return self._epoch(epoch).n_windows

    def documents(self, epoch: int, window: int) -> np.ndarray:
        """[m] the rows of a window in the order in which they are seen."""
        return self._window(epoch, window)[0]

    def _epoch_at(self, position: int) -> tuple[int, int]:
        while self._starts[-1] <= position:
            self._starts.append(self._starts[-1] + self._epoch(len(self._starts) - 1).n_tokens)
        epoch = int(np.searchsorted(self._starts, position, side="right")) - 1
        return epoch, self._starts[epoch]

    def _epoch(self, number: int) -> Epoch:
        if number not in self._epochs:
            self._epochs[number] = Epoch(self.mix, self.seed, number, self.window_tokens)
            if len(self._epochs) > 2:
                self._epochs.popitem(last=False)
        return self._epochs[number]

    def _window(self, epoch: int, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows [m] of a window in order, and where each begins [m + 1]."""
        if (epoch, window) not in self._windows:
            rows = self._epoch(epoch).documents(window)
            cuts = np.concatenate([[0], np.cumsum(self.mix.listing.n_tokens[rows], dtype=np.int64)])
            self._windows[epoch, window] = (rows, cuts)
            if len(self._windows) > WINDOWS_HELD:
                self._windows.popitem(last=False)
        return self._windows[epoch, window]


def _between(rows: np.ndarray, cuts: np.ndarray, start: int, stop: int, window: tuple[int, int]) -> Pieces:
    """The parts of documents between two positions of a window."""
    first = int(np.searchsorted(cuts, start, side="right")) - 1
    last = int(np.searchsorted(cuts, stop, side="left"))
    begins = np.maximum(start - cuts[first:last], 0)
    ends = np.minimum(stop, cuts[first + 1 : last + 1]) - cuts[first:last]
    return Pieces(rows[first:last], begins, ends - begins, np.tile(np.array(window, np.int64), (last - first, 1)))


def hashed(numbers: np.ndarray, seed: int, epoch: int, purpose: str) -> np.ndarray:
    """[m] int64 -> [m] uint64, mixed so that each bit depends on all, another way for each seed, epoch and purpose.

    The numbers are places in a splitmix64 sequence that begins somewhere else for each of these.
    """
    return mix64(numbers.astype(np.uint64) * GOLDEN + np.uint64(bits_of(f"{purpose}:{seed}:{epoch}")))


def uniform(numbers: np.ndarray, seed: int, epoch: int, purpose: str) -> np.ndarray:
    """[m] int64 -> [m] float64 in [0, 1), of 53 bits."""
    return fractions(hashed(numbers, seed, epoch, purpose))
