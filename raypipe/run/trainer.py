"""Ray Train around the training loop: workers are started, watched and started again; the loop resumes by itself.

One worker is this process (Ray Train's local mode). Several are actors with a process group. What a worker raises on
purpose comes back as a value: Ray would start the workers again, and they would meet it again.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from raypipe.contracts.op import Pool
from raypipe.contracts.task import LOSS, Figure, Task
from raypipe.lm.host_memory import keep_freed_memory
from raypipe.run.cluster import check_seen_by_all
from raypipe.run.display import Display, Seen
from raypipe.run.metrics import show
from raypipe.run.training import Training
from raypipe.runs.owned import OwnedFolder
from raypipe.runs.signals import Stopped
from raypipe.runs.trials import report
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout
from raypipe.train.engines.deepspeed_engine import DeepSpeedEngine
from raypipe.train.engines.engine import Engine
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.checkpoint import Checkpoints, State
from raypipe.train.loop.flops import measured_peak
from raypipe.train.loop.journal import Journal, boards
from raypipe.train.loop.loop import Request, train
from raypipe.train.loop.meter import Meter
from raypipe.train.weights.export import with_task

log = logging.getLogger(__name__)
STOP, NOW = "stop", "now.json"
NOW_EVERY_S = 2.0
ASK_RAY_EVERY = 20
"""Steps between looks for a preemption notice, each of which all workers wait for."""


@dataclass(frozen=True)
class Ending:
    """How training ended: a state, or what it was ended by."""

    state: State | None = None
    failure: str | None = None
    kind: Literal["", "stopped", "refused"] = ""


def fit(training: Training, *, n_workers: int, pool: Pool, max_failures: int, stopping: threading.Event) -> State:
    """Train to the end of the plan.

    Raises
    ------
    Stopped
        If `stopping` was set; a checkpoint is there.
    LockLost
        If another driver has taken over the run.
    ValueError
        If training can't go on: a node doesn't see the run folder or an input,
        the loss isn't finite, a checkpoint can't be written, a setting is wrong.
    """
    logging.getLogger("ray.train").setLevel(logging.WARNING)
    if n_workers > 1:
        check_seen_by_all(training.folder, paths=training.inputs)
    training.folder.delete(STOP)
    look = _Followed(training.folder, training.plan.n_steps)
    name = training.folder.uri.rsplit("/", 1)[-1]
    with _passed_on(stopping, training.folder), Display(name, training.plan.n_steps, unit="steps", look=look):
        trainer = TorchTrainer(
            work,
            train_loop_config={"training": training},
            scaling_config=_scaling(n_workers, pool),
            run_config=RunConfig(
                name=f"attempt-{time.time_ns()}",  # another name each time: our own checkpoints say where to go on
                storage_path=(training.folder / "ray").uri,
                failure_config=FailureConfig(max_failures=max_failures),
            ),
        )
        outcome = _outcome(trainer, training.folder)
    if outcome.kind == "stopped":
        raise Stopped(outcome.failure)
    if outcome.state is None:
        raise ValueError(outcome.failure)
    return outcome.state


def _outcome(trainer: TorchTrainer, folder: Folder) -> Ending:
    """How the workers ended; where they failed because the run is another driver's by now, LockLost says so."""
    try:
        outcome: Ending = trainer.fit().return_value
    except Exception:
        if isinstance(folder, OwnedFolder):
            folder.owner.check(anew=True)
        raise
    return outcome


def _scaling(n_workers: int, pool: Pool) -> ScalingConfig:
    if n_workers == 1:
        return ScalingConfig(num_workers=0, use_gpu=pool.num_gpus > 0)
    resources = {"CPU": pool.num_cpus, **({"GPU": pool.num_gpus} if pool.num_gpus else {})}
    return ScalingConfig(num_workers=n_workers, use_gpu=pool.num_gpus > 0, resources_per_worker=resources)


def work(config: dict[str, Any]) -> Ending:
    """One worker's whole life."""
    training: Training = config["training"]
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # transformers imports DeepSpeed wherever it is installed
    if training.n_threads is not None:
        torch.set_num_threads(training.n_threads)
    keep_freed_memory()
    workers = Workers.of_this_process()
    try:
        return Ending(_work(training, workers))
    except Stopped as stop:
        return Ending(failure=str(stop), kind="stopped")
    except (ValueError, KeyError, OSError) as error:
        return Ending(failure=str(error.args[0] if isinstance(error, KeyError) else error), kind="refused")


def _work(training: Training, workers: Workers) -> State:
    layout = BatchLayout(workers.rank, workers.world, training.n_sequences, training.micro)
    task, loader = workers.together(lambda: training.make(workers, layout))
    engine = _engine(training, task, workers, n_micro=layout.n_micro)
    by = workers.together(lambda: figure_of(task, training.best_by))
    checkpoints = Checkpoints(training.folder / "checkpoints", workers, training.identity, training.keep, by)
    if workers.rank == 0:
        checkpoints.sweep()
    state = train(
        task,
        engine,
        loader,
        training.plan,
        checkpoints=checkpoints,
        meter=workers.together(lambda: _meter(training, task, workers)),
        asked=_asked(training.folder, workers),
    )
    if training.take == "best":
        state = checkpoints.restore_best(engine, task)
    weights = with_task(engine.exported(), task.state())
    workers.from_first(lambda: training.export(weights, state))
    return state


def figure_of(task: Task[Any], name: str) -> Figure:
    """The held-out figure of this name.

    Raises
    ------
    ValueError
        If the task doesn't measure it.
    """
    known = {figure.name: figure for figure in (LOSS, *task.figures)}
    if name not in known:
        raise ValueError(f"the best step must be judged by one of {', '.join(known)}, got {name!r}.")
    return known[name]


def _engine(training: Training, task: Task[Any], workers: Workers, *, n_micro: int) -> Engine:
    models, optimiser, precision = task.models, training.optimiser, training.precision
    if training.zero is None:
        return TorchEngine(models, optimiser, n_micro=n_micro, precision=precision, workers=workers)
    return DeepSpeedEngine(models, optimiser, zero=training.zero, n_micro=n_micro, precision=precision, workers=workers)


def _meter(training: Training, task: Task[Any], workers: Workers) -> Meter:
    """The first worker's writes; the others time only."""
    if workers.rank > 0:
        return Meter()
    open_board = boards(training.folder / "tensorboard") if training.tensorboard else None
    last = [0.0]

    def on_step(line: dict[str, Any]) -> None:
        """Show and write how far training is, not at every step."""
        if time.monotonic() - last[0] > NOW_EVERY_S or line["step"] == training.plan.n_steps:
            training.folder.write(NOW, json.dumps({**line, "n_steps": training.plan.n_steps}).encode())
            run, _, stage = training.folder.uri.rpartition("/")
            show(figures(line), run=run, stage=stage)
            last[0] = time.monotonic()
        if "heldout_loss" in line:  # inside a trial of a sweep this may be where it is stopped
            by_domain = {f"heldout_loss/{domain}": loss for domain, loss in line["heldout_by_domain"].items() if domain}
            report(line["step"], heldout_loss=line["heldout_loss"], **by_domain)

    return Meter(
        Journal(training.folder / "metrics", open_board),
        learning_rate=training.optimiser.learning_rate,
        flops=lambda batch: sum(task.flops(documents) for documents in batch.micro),
        peak_flops=measured_peak(workers.device, training.precision.dtype),
        on_step=on_step,
    )


def figures(line: dict[str, Any]) -> dict[str, float | None]:
    """For metrics.SERIES, from the line of a step."""
    (speed,) = (name for name in line if name.endswith("_per_s"))
    return {
        "training_step": line["step"], "training_loss": line["loss"], "training_size_per_s": line[speed],
        "training_mfu": line.get("mfu"),
    }  # fmt: skip


def _asked(folder: Folder, workers: Workers) -> Callable[[], Request]:
    """What the driver (a file in the folder) or Ray (a node is about to be taken away) asks of this worker."""
    looked, calls = [time.monotonic()], [0]

    def ask() -> Request:
        """A Request; Ray and the storage are not asked at every call."""
        calls[0] += 1
        if workers.world > 1 and calls[0] % ASK_RAY_EVERY == 0 and ray.train.get_preemption_info() is not None:
            return "save"
        if workers.rank > 0 or time.monotonic() - looked[0] < NOW_EVERY_S / 4:
            return None
        looked[0] = time.monotonic()
        return "stop" if folder.exists(STOP) else None

    return ask


@contextmanager
def _passed_on(stopping: threading.Event, folder: Folder) -> Iterator[None]:
    """Workers may be on other machines: they are told to stop through the folder that they share."""
    ended = threading.Event()

    def watch() -> None:
        """Look for the request to stop until training ends."""
        while not ended.is_set():
            if stopping.wait(timeout=NOW_EVERY_S / 4):
                folder.write(STOP, b"")
                return

    threading.Thread(target=watch, daemon=True, name="stop").start()
    try:
        yield
    finally:
        ended.set()


class _Followed:
    """What a display sees of a training: its now.json, and how fast steps have come since this start."""

    def __init__(self, folder: Folder, n_steps: int) -> None:
        self._folder, self._n_steps = folder, n_steps
        self._first: tuple[int, float] | None = None

    def __call__(self) -> Seen:
        """The last step that was noted."""
        if not self._folder.exists(NOW):
            return Seen(0, "no step yet")
        line, seconds = json.loads(self._folder.read(NOW)), time.monotonic()
        first_step, first_s = self._first = self._first or (line["step"], seconds)
        n_done = line["step"] - first_step
        eta_s = (self._n_steps - line["step"]) * (seconds - first_s) / n_done if n_done else None
        used = f", MFU {line['mfu']:.0%}" if "mfu" in line else ""
        (unit,) = (name.removesuffix("_per_s") for name in line if name.endswith("_per_s"))
        return Seen(line["step"], f"loss {line['loss']:.3f}, {line[f'{unit}_per_s']:,.0f} {unit}/s{used}", eta_s)
