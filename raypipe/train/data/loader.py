"""Rows for each step and worker: a data loader is a function of the step, and so training is exactly resumable."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

import numpy as np

from raypipe.contracts.rows import Row
from raypipe.train.data.order import hashed

R = TypeVar("R", bound=Row)
R_co = TypeVar("R_co", bound=Row, covariant=True)


@dataclass(frozen=True)
class Batch(Generic[R_co]):
    """What one worker gets of one step, and what is known of the whole step."""

    micro: Sequence[Sequence[R_co]]
    """Rows that go through the model together, one list after another."""
    n_terms: int
    """Terms (tokens with a loss, or rows) of the whole step, all workers together."""
    size: int
    """Of the whole step's rows."""
    digest: bytes
    """Of the whole step's rows in their order."""
    places: Callable[[], list[tuple[str, int]]]
    """Source file and row of every row of the whole step."""


class DataLoader(Protocol[R_co]):
    """Where a task's rows come from."""

    @property
    def domains(self) -> tuple[str, ...]:
        """Of all rows."""
        ...

    @property
    def unit(self) -> str:
        """What sizes are counted in: tokens, rows."""
        ...

    def batch(self, step: int) -> Batch[R_co]:
        """The rows of a step."""
        ...

    def heldout(self) -> Iterator[tuple[Sequence[R_co], bool]]:
        """Held-out rows, as many lists on each worker; False: a list that another worker has already counted."""
        ...


@dataclass(frozen=True)
class BatchLayout:
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
        if self.world < 1 or self.micro < 1:
            raise ValueError(
                f"workers and micro_batch must be at least 1, got {self.world} and {self.micro}; the default is 1 each."
            )
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


def shared_out(lists: Sequence[Sequence[R]], *, rank: int, world: int) -> Iterator[tuple[Sequence[R], bool]]:
    """Lists by turns, as many for each worker: engines that split weights need all workers in every pass."""
    for turn in range(-(-len(lists) // world)):
        number = turn * world + rank
        yield lists[number % len(lists)], number < len(lists)


@dataclass
class ExampleLoader(Generic[R]):
    """Whole examples of any kind from memory, `layout.n_sequences` a step, each epoch in another order."""

    examples: Sequence[R]
    heldout_examples: Sequence[R]
    layout: BatchLayout
    seed: int
    count: Callable[[R], int]
    """Terms of an example's loss."""
    order: Callable[[int], np.ndarray] | None = None
    """Numbers of the examples in the order of an epoch, as many as there are; None: each once, permuted."""
    unit: str = "tokens"
    """What the examples' sizes are counted in."""

    def __post_init__(self) -> None:
        """Check that there is something to learn from, and count it."""
        if not self.examples:
            raise ValueError("there must be at least one training example, got none.")
        self.domains = tuple(sorted({example.domain for example in (*self.examples, *self.heldout_examples)}))
        self._orders: dict[int, np.ndarray] = {}

    def batch(self, step: int) -> Batch[R]:
        """The rows of a step."""
        first = step * self.layout.n_sequences
        numbers = [self._example(at) for at in range(first, first + self.layout.n_sequences)]
        whole = [self.examples[number] for number in numbers]
        micro = [[self.examples[self._example(at)] for at in turn] for turn in self.layout.of(step)]
        return Batch(
            micro,
            sum(self.count(example) for example in whole),
            sum(example.size for example in whole),
            blake2b(np.array(numbers).tobytes(), digest_size=16).digest(),
            lambda: [(example.path, example.row) for example in whole],
        )

    def heldout(self) -> Iterator[tuple[Sequence[R], bool]]:
        """Held-out examples, `micro` at a time."""
        size = self.layout.micro
        lists = [self.heldout_examples[at : at + size] for at in range(0, len(self.heldout_examples), size)]
        yield from shared_out(lists, rank=self.layout.rank, world=self.layout.world)

    def _example(self, position: int) -> int:
        epoch, at = divmod(position, len(self.examples))
        if epoch not in self._orders:
            order = (self.order or self._permutation)(epoch)
            self._orders = {**dict(list(self._orders.items())[-1:]), epoch: order}
        return int(self._orders[epoch][at])

    def _permutation(self, epoch: int) -> np.ndarray:
        return np.argsort(hashed(np.arange(len(self.examples)), self.seed, epoch, "examples"), kind="stable")


class Prefetch(Generic[R]):
    """Takes the next step's batch from a data loader while this one is computed."""

    def __init__(self, loader: DataLoader[R], *, n_steps: int) -> None:
        self._loader, self._n_steps = loader, n_steps
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._next: tuple[int, Future[Batch[R]]] | None = None

    def __enter__(self) -> "Prefetch[R]":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int) -> Batch[R]:
        """The batch of a step; the one after it is begun."""
        known = self._next
        found = known[1] if known and known[0] == step else self._thread.submit(self._loader.batch, step)
        batch = found.result()
        if step + 1 < self._n_steps:
            self._next = (step + 1, self._thread.submit(self._loader.batch, step + 1))
        return batch
