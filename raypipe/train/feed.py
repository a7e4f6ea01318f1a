"""Rows for each step of training, for each worker: a feed is a function of the step, and so exactly resumable."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import numpy as np
import pyarrow.parquet as pq

from raypipe.storage import Folder
from raypipe.train.stream import Pieces, Stream, hashed

WINDOWS_HELD = 2


@dataclass(frozen=True)
class Document:
    """A document, or a part of one, as a task gets it."""

    ids: np.ndarray  # [t] int32
    domain: str
    path: str
    """Of the source file."""
    row: int
    """Of the source file."""
    has_loss: np.ndarray | None = None  # [t] bool: tokens that are to be learnt; None: all
    label: float | None = None


@dataclass(frozen=True)
class Batch:
    """What one worker gets of one step, and what is known of the whole step."""

    micro: list[list[Document]]
    """Documents that go through the model together, one list after another."""
    n_terms: int
    """Terms (tokens with a loss, or documents) of the whole step, all workers together."""
    n_tokens: int
    """Of the whole step."""
    digest: bytes
    """Of the whole step's rows in their order."""
    places: Callable[[], list[tuple[str, int]]]
    """Source file and row of every document of the whole step."""


class Feed(Protocol):
    """Where a task's rows come from."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Of all documents."""
        ...

    def batch(self, step: int) -> Batch:
        """The rows of a step."""
        ...

    def heldout(self) -> Iterator[tuple[list[Document], bool]]:
        """Held-out documents, as many lists on each worker; False: a list that another worker has already counted."""
        ...


@dataclass(frozen=True)
class Share:
    """Which part of every step a worker takes."""

    rank: int
    world: int
    n_sequences: int
    """Of a step, all workers together."""
    micro: int
    """Sequences that go through a model together."""

    def __post_init__(self) -> None:
        """Check that the step can be shared out.

        Raises
        ------
        ValueError
            With the nearest sizes that can.
        """
        unit = self.world * self.micro
        if self.n_sequences < 1 or self.n_sequences % unit:
            below, above = self.n_sequences // unit * unit, -(-self.n_sequences // unit) * unit
            near = " or ".join(str(size) for size in (below, above) if size > 0) or str(unit)
            raise ValueError(
                f"a step's {self.n_sequences} sequences must be a multiple of {self.world} workers x {self.micro} "
                f"sequences at a time; the nearest is {near}."
            )

    @property
    def n_micro(self) -> int:
        """Forward passes of a worker in a step: what gradients are accumulated over."""
        return self.n_sequences // (self.world * self.micro)

    def of(self, step: int) -> Iterator[range]:
        """The numbers of the sequences of each forward pass."""
        first = step * self.n_sequences
        for turn in range(self.n_micro):
            start = first + (turn * self.world + self.rank) * self.micro
            yield range(start, start + self.micro)


def sequences_of(batch_tokens: int, length: int, *, unit: int) -> int:
    """How many sequences of `length` a batch of so many tokens is; `unit` of them are the least.

    Raises
    ------
    ValueError
        If the tokens aren't a multiple of unit x length, with the nearest that are.
    """
    size = unit * length
    if batch_tokens < size or batch_tokens % size:
        near = sorted({max(size, batch_tokens // size * size), -(-batch_tokens // size) * size})
        raise ValueError(
            f"batch_tokens must be a multiple of {size:,} (workers x micro_batch x length), got {batch_tokens:,}; "
            f"the nearest {'are' if len(near) > 1 else 'is'} {' and '.join(f'{n:,}' for n in near)}."
        )
    return batch_tokens // length


@dataclass
class TokenFeed:
    """Sequences of a fixed length from tokens/, by a stream's order. Memory: two windows of tokens."""

    tokens: Folder
    stream: Stream
    share: Share
    heldout_sequences: int = 64
    """At most so many, of the held-out documents in a fixed order."""
    _read: OrderedDict[tuple[int, int], "WindowTokens"] = field(default_factory=OrderedDict, init=False, repr=False)

    @property
    def domains(self) -> tuple[str, ...]:
        """Of all documents."""
        return self.stream.mix.listing.domains

    def batch(self, step: int) -> Batch:
        """The rows of a step."""
        length, size = self.stream.length, self.share.n_sequences
        whole = [self.stream.sequence(number) for number in range(step * size, (step + 1) * size)]
        micro = [
            [document for number in numbers for document in self._documents(whole[number - step * size])]
            for numbers in self.share.of(step)
        ]
        digest = blake2b(digest_size=16)
        for pieces in whole:
            digest.update(np.stack([pieces.rows, pieces.begins, pieces.sizes]).tobytes())
        n_terms = sum(int((pieces.sizes - 1).sum()) for pieces in whole)
        return Batch(micro, n_terms, size * length, digest.digest(), lambda: self._places(whole))

    def heldout(self) -> Iterator[tuple[list[Document], bool]]:
        """Held-out documents cut at `length`, a document a list's sequence."""
        listing, length = self.stream.mix.listing, self.stream.length
        rows = np.flatnonzero(self.stream.mix.is_heldout & (listing.n_tokens > 1))
        rows = np.sort(rows[np.argsort(hashed(rows, 0, 0, "heldout"))][: self.heldout_sequences])
        sizes = np.minimum(listing.n_tokens[rows], length).astype(np.int64)
        none = np.zeros((len(rows), 2), np.int64)
        read = WindowTokens.read(self.tokens, self.stream, rows)
        documents = read.documents(self.stream, Pieces(rows, np.zeros(len(rows), np.int64), sizes, none))
        yield from shared_out([[document] for document in documents], rank=self.share.rank, world=self.share.world)

    def _documents(self, pieces: Pieces) -> list[Document]:
        documents: list[Document] = []
        for window, part in _by_window(pieces):
            documents += self._window(window).documents(self.stream, part)
        return documents

    def _window(self, window: tuple[int, int]) -> "WindowTokens":
        if window not in self._read:
            self._read[window] = WindowTokens.read(self.tokens, self.stream, np.unique(self.stream.documents(*window)))
            if len(self._read) > WINDOWS_HELD:
                self._read.popitem(last=False)
        return self._read[window]

    def _places(self, whole: Sequence[Pieces]) -> list[tuple[str, int]]:
        return [self.stream.mix.listing.place(int(row)) for pieces in whole for row in pieces.rows]


def _by_window(pieces: Pieces) -> Iterator[tuple[tuple[int, int], Pieces]]:
    changes = np.flatnonzero(np.any(np.diff(pieces.windows, axis=0) != 0, axis=1)) + 1
    for part in np.split(np.arange(len(pieces.rows)), changes):
        epoch, window = pieces.windows[part[0]].tolist()
        yield (epoch, window), Pieces(*(array[part] for array in pieces))


def shared_out(lists: list[list[Document]], *, rank: int, world: int) -> Iterator[tuple[list[Document], bool]]:
    """Lists by turns, as many for each worker: engines that split weights need all workers in every pass."""
    for turn in range(-(-len(lists) // world)):
        number = turn * world + rank
        yield lists[number % len(lists)], number < len(lists)


@dataclass(frozen=True)
class WindowTokens:
    """The token ids of some rows, end to end."""

    rows: np.ndarray  # [u] int64, sorted
    cuts: np.ndarray  # [u + 1] int64
    ids: np.ndarray  # [all] int32

    @classmethod
    def read(cls, tokens: Folder, stream: Stream, rows: np.ndarray) -> "WindowTokens":
        """Read them, a file at a time.

        Raises
        ------
        ValueError
            If a file isn't what was listed.
        """
        listing, parts = stream.mix.listing, []
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

    def documents(self, stream: Stream, pieces: Pieces) -> list[Document]:
        """The parts of these rows that are asked for."""
        listing, at = stream.mix.listing, self.cuts[np.searchsorted(self.rows, pieces.rows)] + pieces.begins
        documents = []
        for row, start, size in zip(pieces.rows.tolist(), at.tolist(), pieces.sizes.tolist(), strict=True):
            path, number = listing.place(row)
            domain = listing.domains[listing.domain[row]]
            documents.append(Document(self.ids[start : start + size], domain, path, number))
        return documents


@dataclass
class ExampleFeed:
    """Whole examples from memory, `share.n_sequences` a step, each epoch in another order."""

    examples: list[Document]
    heldout_examples: list[Document]
    share: Share
    seed: int
    count: Callable[[Document], int]
    """Terms of an example's loss."""

    def __post_init__(self) -> None:
        """Check that there is something to learn from, and count it."""
        if not self.examples:
            raise ValueError("there must be at least one training example, got none.")
        self.domains = tuple(sorted({example.domain for example in self.examples + self.heldout_examples}))
        self._orders: dict[int, np.ndarray] = {}

    def batch(self, step: int) -> Batch:
        """The rows of a step."""
        first = step * self.share.n_sequences
        numbers = [self._example(at) for at in range(first, first + self.share.n_sequences)]
        whole = [self.examples[number] for number in numbers]
        micro = [[self.examples[self._example(at)] for at in turn] for turn in self.share.of(step)]
        return Batch(
            micro,
            sum(self.count(example) for example in whole),
            sum(len(example.ids) for example in whole),
            blake2b(np.array(numbers).tobytes(), digest_size=16).digest(),
            lambda: [(example.path, example.row) for example in whole],
        )

    def heldout(self) -> Iterator[tuple[list[Document], bool]]:
        """Held-out examples, `micro` at a time."""
        size = self.share.micro
        lists = [self.heldout_examples[at : at + size] for at in range(0, len(self.heldout_examples), size)]
        yield from shared_out(lists, rank=self.share.rank, world=self.share.world)

    def _example(self, position: int) -> int:
        epoch, at = divmod(position, len(self.examples))
        if epoch not in self._orders:
            keys = hashed(np.arange(len(self.examples)), self.seed, epoch, "examples")
            self._orders = {**dict(list(self._orders.items())[-1:]), epoch: np.argsort(keys, kind="stable")}
        return int(self._orders[epoch][at])


class Ahead:
    """Takes the next step's batch from a feed while this one is computed."""

    def __init__(self, feed: Feed, *, n_steps: int) -> None:
        self._feed, self._n_steps = feed, n_steps
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._next: tuple[int, Future[Batch]] | None = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int) -> Batch:
        """The batch of a step; the one after it is begun."""
        known = self._next
        found = known[1] if known and known[0] == step else self._thread.submit(self._feed.batch, step)
        batch = found.result()
        if step + 1 < self._n_steps:
            self._next = (step + 1, self._thread.submit(self._feed.batch, step + 1))
        return batch
