"""Rates of a run: what the journal, TensorBoard and the terminal are told of each step."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch

from raypipe.train.data.loader import Batch
from raypipe.train.loop.checkpoint import State
from raypipe.train.loop.journal import Journal
from raypipe.train.loop.sums import Sums


@dataclass
class Meter:
    """Times steps; the first worker also writes them down."""

    journal: Journal | None = None
    learning_rate: float = 0.0
    """Peak."""
    flops: Callable[[Batch[Any]], float] | None = None
    """Of this worker's part of a step."""
    peak_flops: float | None = None
    """Of this worker's device, a second, as measured; raised to what a step reaches, so that MFU is at most 1."""
    on_step: Callable[[dict[str, Any]], None] = lambda line: None
    """Sees each line, for a bar on a terminal."""
    n_steps: int = field(default=0, init=False)
    _unit: str = field(default="tokens", init=False)
    _waited_s: float = field(default=0.0, init=False)
    _last: float = field(default=0.0, init=False)

    def begin(self, state: State, n_steps: int, unit: str) -> None:
        """Training starts, or goes on, after this state; sizes are counted in `unit`."""
        self.n_steps, self._unit = n_steps, unit
        if self.journal is not None:
            self.journal.rewind(state.step + 1)
        self._last = time.perf_counter()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While the next rows aren't there yet."""
        started = time.perf_counter()
        yield
        self._waited_s = time.perf_counter() - started

    def step(
        self, state: State, batch: Batch[Any], sums: Sums, *, heldout: Sums | None, factor: float, gradient_norm: float
    ) -> None:
        """A step is done."""
        seconds = time.perf_counter() - self._last
        self._last = time.perf_counter()
        line: dict[str, Any] = {
            "step": state.step, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), self._unit: state.size,
            "order": state.order, "loss": sums.mean, "loss_by_domain": sums.by_domain(),
            "learning_rate": factor * self.learning_rate, "gradient_norm": gradient_norm,
            f"{self._unit}_per_s": batch.size / seconds, "step_s": seconds, "data_wait_s": self._waited_s,
            "memory_bytes": memory_bytes(),
        }  # fmt: skip
        if self.flops is not None and self.peak_flops:
            reached = self.flops(batch) / seconds
            self.peak_flops = max(self.peak_flops, reached)  # measured while others worked, it was too low
            line |= {"mfu": reached / self.peak_flops, "peak_flops": self.peak_flops}
        if heldout is not None and heldout.counts.sum():
            line |= {"heldout_loss": heldout.mean, "heldout_by_domain": heldout.by_domain()}
            line |= {f"heldout_{name}": figure for name, figure in heldout.figures.items()}
        if self.journal is not None:
            self.journal.add(line)
        self.on_step(line)

    def close_segment(self) -> None:
        """A checkpoint follows."""
        if self.journal is not None:
            self.journal.close_segment()


def memory_bytes() -> int:
    """The most that was held so far: by the GPU's allocator, else by this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
