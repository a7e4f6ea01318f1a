"""raypipe's training loop against a bare PyTorch loop of the same model: python -m jobs.benchmark training."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.contracts.rows import Document
from raypipe.lm.host_memory import keep_freed_memory
from raypipe.models.presets import config_of, new_model
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import Batch, BatchLayout, sequences_of
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule

from .processes import fresh_process


@dataclass(frozen=True, kw_only=True)
class Config(Precision):
    """What is measured."""

    shape: str = "4m"
    """Model."""
    vocabulary_size: int = 8192
    """Rows of its embedding."""
    length: int = 512
    """Tokens of a sequence; each is one document, so that both loops attend alike."""
    batch_tokens: int = 4096
    """Tokens of a step."""
    micro_batch: int = 2
    """Sequences that go through the model together."""
    steps: int = 6
    """Steps of a turn, after one that isn't timed."""
    turns: int = 5
    """The loops are timed by turns, so that both meet the same machine."""


class RandomDocuments:
    """A data loader of random documents, made before the clock starts."""

    domains, unit = ("all",), "tokens"

    def __init__(self, config: Config, layout: BatchLayout) -> None:
        random = np.random.default_rng(0)
        n = layout.n_sequences * (config.steps + 1)
        ids = random.integers(0, config.vocabulary_size, (n, config.length), dtype=np.int32)
        self.documents, self.layout = [Document(row, "all", "random", at) for at, row in enumerate(ids)], layout

    def batch(self, step: int) -> Batch[Document]:
        """The rows of a step."""
        micro = [[self.documents[at] for at in numbers] for numbers in self.layout.of(step)]
        n = self.layout.n_sequences
        length = len(self.documents[0].ids)
        return Batch(micro, n * (length - 1), n * length, step.to_bytes(8, "little"), list)

    def heldout(self) -> Any:
        """None."""
        return iter(())


def main(config: Config) -> None:
    """Print medians and ratios: of wall time, and of this process's CPU time, which other processes disturb less."""
    import torch

    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.flops import matrix_parameters, measured_peak, step_flops

    device = Workers.of_this_process().device
    layout = BatchLayout(
        0, 1, sequences_of(config.batch_tokens, config.length, unit=config.micro_batch), config.micro_batch
    )
    rows = RandomDocuments(config, layout)
    loops: dict[str, Callable[[Config, RandomDocuments], Clock]] = {"bare": bare, "raypipe": raypipe}
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in loops}
    with ExitStack() as stack:
        # a process each: raypipe's settings of the allocator must not serve the other loop as well
        own = {name: stack.enter_context(fresh_process()) for name in loops}
        for turn in range(config.turns):
            for name in list(loops) if turn % 2 == 0 else list(reversed(loops)):
                seconds[name].append(own[name].submit(loops[name], config, rows).result().medians())
    ratios = np.array(seconds["bare"]) / np.array(seconds["raypipe"])  # [turns, 2]
    model = new_model(_shape(config), seed=0, initialisation="normal")
    flops = step_flops(matrix_parameters(model), model.config, rows.documents[: layout.n_sequences])
    peak = measured_peak(device, config.dtype)
    step_s = {name: statistics.median(value[0] for value in values) for name, values in seconds.items()}
    result = {
        **asdict(config),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "tokens_per_s": {name: round(config.batch_tokens / value) for name, value in step_s.items()},
        "ratio": round(float(np.median(ratios[:, 0])), 4),
        "ratios": ratios[:, 0].round(4).tolist(),
        "cpu_time_ratio": round(float(np.median(ratios[:, 1])), 4),
        "cpu_time_ratios": ratios[:, 1].round(4).tolist(),
        "mfu": {name: round(flops / value / peak, 4) for name, value in step_s.items()},
    }
    print(json.dumps(result, indent=1))


class Clock:
    """Wall and CPU seconds between marks."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, float]] = []

    def mark(self) -> None:
        """A step ends here; the first mark begins what is timed."""
        self._marks.append((time.perf_counter(), time.process_time()))

    def medians(self) -> np.ndarray:
        """[2] float64: of wall and of CPU seconds."""
        return np.asarray(np.median(np.diff(np.array(self._marks), axis=0), axis=0))


def raypipe(config: Config, rows: RandomDocuments) -> Clock:
    """Each step of raypipe's loop, with its journal and meter."""
    from raypipe.train.engines.torch_engine import TorchEngine
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import Checkpoints
    from raypipe.train.loop.journal import Journal
    from raypipe.train.loop.loop import train
    from raypipe.train.loop.meter import Meter
    from raypipe.train.tasks.next_token import NextToken

    keep_freed_memory()  # as a training worker does
    workers = Workers.of_this_process()
    causal, precision = new_model(_shape(config), seed=0, initialisation="normal"), Precision(config.dtype)
    Precision(config.dtype, config.checkpoint_activations, config.compile).apply(causal)
    task = NextToken(causal)
    engine = TorchEngine(task.models, Optimiser(), n_micro=rows.layout.n_micro, precision=precision, workers=workers)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        train(
            task,
            engine,
            rows,
            TrainingPlan(config.steps + 1, Schedule(schedule="constant"), save_every=1 << 30),
            checkpoints=Checkpoints(Folder(str(Path(folder) / "checkpoints")), workers, {}),
            meter=Meter(
                Journal(Folder(str(Path(folder) / "metrics"))),
                flops=lambda batch: sum(task.flops(documents) for documents in batch.micro),
                peak_flops=1.0,
                on_step=lambda line: clock.mark(),
            ),
        )
    return clock


def bare(config: Config, rows: RandomDocuments) -> Clock:
    """Each step of the shortest loop: transformers' model and attention, AdamW, no bookkeeping at all."""
    import torch
    import torch.nn.functional as F

    from raypipe.train.engines.workers import Workers

    device = Workers.of_this_process().device
    model = new_model(_shape(config), seed=0, initialisation="normal").to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1)
    batches = [
        [
            torch.from_numpy(np.stack([d.ids for d in documents]).astype(np.int64))
            for documents in rows.batch(step).micro
        ]
        for step in range(config.steps + 1)
    ]
    clock = Clock()
    for micro in batches:
        for host in micro:
            ids = host.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16"):
                hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
                logits = model.lm_head(hidden).flatten(0, 1).float()
            loss = F.cross_entropy(logits, ids[:, 1:].flatten()) / len(micro)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        clock.mark()
    return clock


def _shape(config: Config) -> Any:
    return config_of(config.shape, vocabulary_size=config.vocabulary_size, length=config.length, end=0)
