"""MFU of the training loop: a model of a billion parameters, packed sequences of 4,096 tokens, AdamW, bfloat16."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raypipe.contracts.rows import Document
from raypipe.contracts.task import LOSS
from raypipe.models.presets import new_model
from raypipe.train.data.loader import Batch
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.flops import measured_peak
from raypipe.train.loop.loop import train
from raypipe.train.loop.meter import Meter, memory_bytes
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule
from raypipe.train.tasks.next_token import NextToken

from ..shapes import SHAPES
from .card import device

ROOMY = 70e9
"""Bytes of a device that takes two sequences at once."""


@dataclass(frozen=True)
class StepSizes:
    """Of a step."""

    shape: str
    length: int
    """Tokens of a sequence: several documents, none reaching into another."""
    micro: int
    """Sequences that go through the model together."""
    n_micro: int
    steps: int
    """Timed ones, after two that aren't."""


def steps(group: str, folder: Path, *, rehearse: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The steps of this group."""
    sizes = StepSizes("tiny", 64, 2, 2, 2) if rehearse or device().type != "cuda" else _full()
    compiler = "inductor" if device().type == "cuda" else "eager"
    return {"packed": partial(mfu, sizes, None), "packed-compiled": partial(mfu, sizes, compiler)}


def _full() -> StepSizes:
    is_roomy = torch.cuda.get_device_properties(0).total_memory > ROOMY
    return StepSizes("1.3b", 4096, *((2, 8) if is_roomy else (1, 16)), steps=8)


class FullSequences:
    """A data loader of sequences that documents of random lengths fill to the last token."""

    domains, unit = ("all",), "tokens"

    def __init__(self, sizes: StepSizes) -> None:
        self._sizes, self._random = sizes, np.random.default_rng(0)

    def batch(self, step: int) -> Batch[Document]:
        """Another step's rows; which, nobody asks."""
        sizes = self._sizes
        micro = [[d for _ in range(sizes.micro) for d in self._sequence(step)] for _ in range(sizes.n_micro)]
        documents = [document for one in micro for document in one]
        n_tokens = sizes.n_micro * sizes.micro * sizes.length
        return Batch(micro, n_tokens - len(documents), n_tokens, step.to_bytes(8, "little"), list)

    def heldout(self) -> Iterator[tuple[list[Document], bool]]:
        """None."""
        return iter(())

    def _sequence(self, step: int) -> list[Document]:
        left, documents = self._sizes.length, []
        while left:
            drawn = int(self._random.lognormal(np.log(self._sizes.length / 6), 0.9))
            length = left if left - drawn < 2 else max(2, drawn)
            ids = self._random.integers(0, SHAPES[self._sizes.shape].vocabulary, length, dtype=np.int32)
            documents.append(Document(ids, "all", "random", step))
            left -= length
        return documents


class _Nothing:
    """In the place of checkpoints: the weights are of no use to anybody."""

    best_by = LOSS

    def restore(self, *_: object) -> None:
        """Nothing is there."""

    def save(self, *_: object) -> None:
        """Nothing is kept."""

    def steps(self) -> list[int]:
        """None."""
        return []


def mfu(sizes: StepSizes, compiler: str | None) -> dict[str, Any]:
    """The share of the device's measured matmul peak that the model's own operations are, median over steps."""
    torch._dynamo.reset()
    if device().type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    peak = measured_peak(device(), "bfloat16")
    with device():
        causal = new_model(SHAPES[sizes.shape].config(max_tokens=sizes.length), seed=0, initialisation="normal")
    for layer in causal.model.layers if compiler else []:
        layer.compile(backend=compiler)
    workers, lines = Workers.of_this_process(), list[dict[str, Any]]()
    task = NextToken(causal)
    engine = TorchEngine(
        task.models, Optimiser(), n_micro=sizes.n_micro, precision=Precision("bfloat16"), workers=workers
    )
    train(
        task, engine, FullSequences(sizes),
        TrainingPlan(sizes.steps + 2, Schedule(schedule="constant"), save_every=1 << 30),
        checkpoints=_Nothing(),  # type: ignore[arg-type]
        meter=Meter(
            flops=lambda batch: sum(task.flops(documents) for documents in batch.micro), peak_flops=peak,
            on_step=lines.append,
        ),
    )  # fmt: skip
    timed = lines[2:]
    return {
        **{name: statistics.median(line[name] for line in timed) for name in ("mfu", "tokens_per_s", "step_s")},
        "waited_for_rows": sum(line["data_wait_s"] for line in timed) / sum(line["step_s"] for line in timed),
        "first_step_s": lines[0]["step_s"], "steps": len(timed),
        "tokens_a_step": sizes.n_micro * sizes.micro * sizes.length,
        "losses": [lines[0]["loss"], lines[-1]["loss"]], "peak_memory_gb": memory_bytes() / 1e9, "peak_flops": peak,
        "parameters": sum(weight.numel() for weight in causal.parameters()),
    }  # fmt: skip
