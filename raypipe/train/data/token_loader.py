"""Sequences of a fixed length out of tokens/, read a window at a time."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import pyarrow.parquet as pq

from raypipe.contracts.rows import Document
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import Batch, BatchLayout, shared_out
from raypipe.train.data.order import DataOrder, Pieces, hashed

WINDOWS_HELD = 2


@dataclass
class TokenLoader:
    """Sequences of a fixed length from tokens/, in a data order. Memory: two windows of tokens."""

    tokens: Folder
    order: DataOrder
    layout: BatchLayout
    heldout_sequences: int = 64
    """At most so many, of the held-out documents in a fixed order."""
    _read: OrderedDict[tuple[int, int], "WindowTokens"] = field(default_factory=OrderedDict, init=False, repr=False)

    @property
    def domains(self) -> tuple[str, ...]:
        """Of all documents."""
        return self.order.mix.listing.domains

    @property
    def unit(self) -> str:
        """tokens."""
        return "tokens"

    def batch(self, step: int) -> Batch[Document]:
        """The rows of a step."""
        length, size = self.order.length, self.layout.n_sequences
        whole = [self.order.sequence(number) for number in range(step * size, (step + 1) * size)]
        micro = [
            [document for number in numbers for document in self._documents(whole[number - step * size])]
            for numbers in self.layout.of(step)
        ]
        digest = blake2b(digest_size=16)
        for pieces in whole:
            digest.update(np.stack([pieces.rows, pieces.begins, pieces.sizes]).tobytes())
        n_terms = sum(int((pieces.sizes - 1).sum()) for pieces in whole)
        return Batch(micro, n_terms, size * length, digest.digest(), lambda: self._places(whole))

    def heldout(self) -> Iterator[tuple[Sequence[Document], bool]]:
        """Held-out documents cut at `length`, a document a list's sequence."""
        listing, length = self.order.mix.listing, self.order.length
        rows = np.flatnonzero(self.order.mix.is_heldout & (listing.n_tokens > 1))
        rows = np.sort(rows[np.argsort(hashed(rows, 0, 0, "heldout"))][: self.heldout_sequences])
        sizes = np.minimum(listing.n_tokens[rows], length).astype(np.int64)
        none = np.zeros((len(rows), 2), np.int64)
        read = WindowTokens.read(self.tokens, self.order, rows)
        documents = read.documents(self.order, Pieces(rows, np.zeros(len(rows), np.int64), sizes, none))
        yield from shared_out([[document] for document in documents], rank=self.layout.rank, world=self.layout.world)

    def _documents(self, pieces: Pieces) -> list[Document]:
        documents: list[Document] = []
        for window, part in _by_window(pieces):
            documents += self._window(window).documents(self.order, part)
        return documents

    def _window(self, window: tuple[int, int]) -> "WindowTokens":
        if window not in self._read:
            self._read[window] = WindowTokens.read(self.tokens, self.order, np.unique(self.order.documents(*window)))
            if len(self._read) > WINDOWS_HELD:
                self._read.popitem(last=False)
        return self._read[window]

    def _places(self, whole: Sequence[Pieces]) -> list[tuple[str, int]]:
        return [self.order.mix.listing.place(int(row)) for pieces in whole for row in pieces.rows]


def _by_window(pieces: Pieces) -> Iterator[tuple[tuple[int, int], Pieces]]:
    changes = np.flatnonzero(np.any(np.diff(pieces.windows, axis=0) != 0, axis=1)) + 1
    for part in np.split(np.arange(len(pieces.rows)), changes):
        epoch, window = pieces.windows[part[0]].tolist()
        yield (epoch, window), Pieces(*(array[part] for array in pieces))


@dataclass(frozen=True)
class WindowTokens:
    """The token ids of some rows, end to end."""

    rows: np.ndarray  # [u] int64, sorted
    cuts: np.ndarray  # [u + 1] int64
    ids: np.ndarray  # [all] int32

    @classmethod
    def read(cls, tokens: Folder, order: DataOrder, rows: np.ndarray) -> "WindowTokens":
        """Read them, a file at a time.

        Raises
        ------
        ValueError
            If a file isn't what was listed.
        """
        listing, parts = order.mix.listing, []
        files = listing.file_of(rows)
        for file in np.unique(files):
            with tokens.open(listing.files[file]) as source:
                column = pq.ParquetFile(source).read(["tokens"])["tokens"].combine_chunks()
            taken = column.take(rows[files == file] - listing.borders[file])
            parts.append(taken.flatten().to_numpy())
        ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        cuts = np.concatenate([[0], np.cumsum(listing.n_tokens[rows], dtype=np.int64)])
        if len(ids) != cuts[-1]:
            raise ValueError(f"{tokens.uri} was changed while it was read: {cuts[-1]} tokens listed, {len(ids)} found.")
        return cls(rows, cuts, ids)

    def documents(self, order: DataOrder, pieces: Pieces) -> list[Document]:
        """The parts of these rows that are asked for."""
        listing, at = order.mix.listing, self.cuts[np.searchsorted(self.rows, pieces.rows)] + pieces.begins
        documents = []
        for row, start, size in zip(pieces.rows.tolist(), at.tolist(), pieces.sizes.tolist(), strict=True):
            path, number = listing.place(row)
            domain = listing.domains[listing.domain[row]]
            documents.append(Document(self.ids[start : start + size], domain, path, number))
        return documents
