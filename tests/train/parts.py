"""A tiny training run, in this process or on two, for the tests."""

import dataclasses
import os
import socket
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from raypipe.models.presets import new_model
from raypipe.storage.folder import Folder
from raypipe.train.data.index import every_row_once, read_listing
from raypipe.train.data.loader import BatchLayout
from raypipe.train.data.order import DataOrder
from raypipe.train.data.token_loader import TokenLoader
from raypipe.train.engines.deepspeed_engine import DeepSpeedEngine
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.engines.zero import Zero
from raypipe.train.loop.checkpoint import Checkpoints, State
from raypipe.train.loop.finite import NotFinite
from raypipe.train.loop.journal import Journal, read_journal
from raypipe.train.loop.loop import Stopped, train
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule
from raypipe.train.tasks.next_token import NextToken
from tests.train.processes import run_workers
from tests.train.synthetic import VOCABULARY


def tiny_model(seed: int = 0, **settings):
    from transformers import LlamaConfig

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "tie_word_embeddings": True}  # fmt: skip
    config = LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=128, **{**sizes, **settings})
    return new_model(config, seed=seed, initialisation="normal")


HERE = Workers(0, 1, 0, torch.device("cpu"))


@dataclass(frozen=True)
class Run:
    """What a worker needs to know."""

    tokens: str
    output: str
    engine: str = "torch"
    zero_stage: int = 1
    n_steps: int = 8
    n_sequences: int = 4
    micro: int = 1
    length: int = 32
    save_every: int = 1000
    heldout_every: int = 0
    dtype: str = "float32"
    optimiser: Optimiser = field(default_factory=lambda: Optimiser(learning_rate=3e-3))
    die_at: int | None = None
    stop_at: int | None = None
    poison_at: int | None = None
    tie: bool = True
    seed: int = 0


def layout(run: Run, workers: Workers) -> BatchLayout:
    return BatchLayout(workers.rank, workers.world, run.n_sequences, run.micro)


def loader_of(run: Run, workers: Workers, mix=None) -> TokenLoader:
    mix = mix or every_row_once(read_listing(Folder(run.tokens)))
    return TokenLoader(
        Folder(run.tokens), DataOrder(mix, seed=run.seed, length=run.length, window_tokens=256), layout(run, workers)
    )


def engine_of(run: Run, task: NextToken, workers: Workers):
    settings = {"n_micro": layout(run, workers).n_micro, "precision": Precision(run.dtype), "workers": workers}
    if run.engine == "torch":
        return TorchEngine(task.models, run.optimiser, **settings)
    return DeepSpeedEngine(task.models, run.optimiser, zero=Zero(run.zero_stage), **settings)


def go(run: Run, *, task=None, loader=None, asked=None) -> State:
    """Train in this process, which may be one of several."""
    done = [0]
    workers = Workers.of_this_process()
    task = task or NextToken(tiny_model(tie_word_embeddings=run.tie))
    if run.poison_at is not None and workers.rank == workers.world - 1:
        poison(task, at=run.poison_at, passes=layout(run, workers).n_micro)
    engine = engine_of(run, task, workers)
    journal = Journal(Folder(run.output) / "metrics") if workers.rank == 0 else None

    def on_step(line):
        done[0] = line["step"]
        if run.die_at == line["step"]:
            os._exit(9)

    return train(
        task,
        engine,
        loader or loader_of(run, workers),
        TrainingPlan(
            run.n_steps, Schedule(), seed=run.seed, save_every=run.save_every, heldout_every=run.heldout_every
        ),
        checkpoints=Checkpoints(Folder(run.output) / "checkpoints", workers, {"length": run.length}),
        meter=Meter(journal, learning_rate=run.optimiser.learning_rate, on_step=on_step),
        asked=asked or (lambda: "stop" if run.stop_at is not None and done[0] + 1 == run.stop_at else None),
    )


class Infinite(torch.autograd.Function):
    """A number as it is, with an infinite gradient."""

    @staticmethod
    def forward(ctx, number):
        return number.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("inf")


def poison(task: NextToken, *, at: int, passes: int) -> None:
    """From this step on the last worker's gradients are infinite, and its losses as they were."""
    original, calls = task.loss, iter(range(1 << 30))

    def loss(models, tensors):
        terms = original(models, tensors)
        is_late = next(calls) >= (at - 1) * passes
        return dataclasses.replace(terms, losses=Infinite.apply(terms.losses)) if is_late else terms

    task.loss = loss


def losses(run: Run) -> list[float]:
    lines = read_journal(Folder(run.output) / "metrics")
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def order(run: Run) -> str:
    return read_journal(Folder(run.output) / "metrics")[-1]["order"]


def on_workers(world: int, *runs: Run) -> None:
    """Train on several gloo workers, runs one after another; a worker's exception is raised here."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_workers(_worker, (world, port, runs), world=world)


def _worker(rank: int, world: int, port: int, runs: tuple[Run, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank),
                   "WORLD_SIZE": str(world), "DS_ACCELERATOR": "cpu"}  # fmt: skip
    dist.init_process_group("gloo", rank=rank, world_size=world, timeout=timedelta(seconds=60))
    for run in runs:
        try:
            go(run)
        except Stopped:
            pass
        except NotFinite as failure:  # for the test to read
            Folder(run.output).write(f"failure-{rank}.txt", str(failure).encode())
    dist.destroy_process_group()
    # without Python's own exit: once it ended in an abort, of a thread that nobody had joined
    os._exit(0)


def variant(run: Run, folder: Path, **changes) -> Run:
    """The same run with other settings, elsewhere."""
    return dataclasses.replace(run, output=str(folder), **changes)
