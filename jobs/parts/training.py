"""What the training jobs share: settings of training, a stage that trains, and where a model comes from."""

import dataclasses
import json
import subprocess
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from raypipe.contracts.op import Pool
from raypipe.report import write_report
from raypipe.run.cluster import Wanted
from raypipe.run.training import Training
from raypipe.runs import card as cards
from raypipe.runs.life import Life
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.zero import Zero
from raypipe.train.loop.journal import busy_s
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule

from .idle import names_of, refuse_idle

if TYPE_CHECKING:
    from raypipe.train.loop.checkpoint import State

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Schedule, Optimiser, Precision, Zero):
    """How training runs, whatever is trained."""

    engine: Literal["torch", "deepspeed"] = "torch"
    """torch: every worker holds the whole model. deepspeed: ZeRO, see --zero-stage."""
    seed: int = 0
    """Of the order of the data and of new weights."""
    save_every: int = 500
    """Steps between checkpoints."""
    heldout_every: int = 0
    """Steps between measurements of the held-out loss by domain; 0: at the end only."""
    keep: int = 2
    """Checkpoints that are kept beside the best held-out one."""
    workers: int = 1
    """Processes that train together; 1: this one."""
    gpus_per_worker: float | None = None
    """GPUs that a worker reserves; None: 1 where there are GPUs, else 0."""
    cpus_per_worker: float | None = None
    """CPUs that a worker reserves, and so its threads; None: 1, or all of this machine's for a worker alone."""
    max_failures: int = 3
    """How often lost workers are started again, from the last checkpoint."""
    tensorboard: bool = False
    """Also write RUN/train/tensorboard."""


def run_training(
    config: Any, training: Training, life: Life, stage: str,
    *, first: Callable[[], None] = lambda: None, then: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Train a stage of a run; at the end the run's report is written anew.

    What is to be done `first`, before training, and `then`, after it, may raise Stopped too.
    """
    if not life.is_restarting(stage):
        cards.check_identity(stage, cards.read_card(training.folder), training.identity)
    life.begin()
    try:
        state = train_stage(config, training, stage, life.stopping, first=first, then=then)
    except Stopped:
        write_report(life.run)  # of what there is so far
        raise
    life.conclude()
    print(f"{state.step:,} steps, {state.size:,} tokens: {training.folder.uri}/model, order {state.order}")
    print(f"Report: {write_report(life.run).removeprefix('file://')}")


def train_stage(
    config: Any, training: Training, stage: str, stopping: threading.Event,
    *, first: Callable[[], None] = lambda: None, then: Callable[[], None] = lambda: None,
) -> "State":  # fmt: skip
    """Train to the end, between `first` and `then`, with a card beside the files, as every stage has.

    Raises
    ------
    IdentityChanged
        If the folder holds another training.
    Stopped
        If `stopping` was set; a checkpoint is there.
    """
    folder = training.folder
    card = cards.read_card(folder)
    cards.check_identity(stage, card, training.identity)
    from raypipe.run.trainer import fit  # not before: a refusal needs neither Ray nor torch

    card = card or {"stage": stage, "kind": "train", "identity": training.identity}
    card |= {"versions": cards.versions(), "running": {"workers": config.workers}}
    with at_work(folder, card):
        try:
            first()
            state = fit(
                training,
                n_workers=config.workers,
                pool=pool_of(config),
                max_failures=config.max_failures,
                stopping=stopping,
            )
            then()
        finally:
            card["times"]["busy_s"] = busy_s(folder / "metrics", n_workers=config.workers)
        card["counts"] = asdict(state) | {"tokens": state.size}
    return state


def plan_of(config: Any, steps: int) -> TrainingPlan:
    """How long, and what happens when."""
    if config.save_every < 1:
        raise ValueError(f"save_every must be at least 1, got {config.save_every}.")
    return TrainingPlan(steps, part(Schedule, config), config.seed, config.save_every, config.heldout_every)


def check_engine(config: Any) -> None:
    """Refuse settings of an engine that isn't taken.

    Raises
    ------
    ValueError
        With the first.
    """
    if config.engine != "deepspeed":
        refuse_idle(config, names_of(Zero), because="without --engine deepspeed")


def engine_settings(config: Any) -> dict[str, Any]:
    """The engine's part of a Training."""
    return {
        "optimiser": part(Optimiser, config),
        "precision": part(Precision, config),
        "zero": part(Zero, config) if config.engine == "deepspeed" else None,
        "keep": config.keep,
        "tensorboard": config.tensorboard,
        "n_threads": None if config.cpus_per_worker is None else max(1, int(config.cpus_per_worker)),
    }


def training_identity(config: Any) -> dict[str, Any]:
    """The settings of training that can change a weight; workers, passes and intervals can't."""
    schedule, optimiser = asdict(part(Schedule, config)), asdict(part(Optimiser, config))
    engine = {"engine": config.engine, "dtype": config.dtype, "seed": config.seed}
    zero = {"zero_stage": config.zero_stage} if config.engine == "deepspeed" else {}
    return {**schedule, **optimiser, **engine, **zero}


def part(kind: type[P], config: Any) -> P:
    """The settings of one part of a job."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})  # type: ignore


def pool_of(config: Any) -> Pool:
    """The resources of the workers; with several the cluster is joined."""
    if config.workers == 1 and not config.gpus_per_worker:
        import torch

        return Pool(num_gpus=float(torch.cuda.is_available() and config.gpus_per_worker is None))
    return Wanted(config.workers, config.workers, config.gpus_per_worker, config.cpus_per_worker or 1.0).pool


def lineage(config: Any, identity: dict[str, Any], state: "State") -> dict[str, Any]:
    """Where a model comes from: run, data, settings, versions."""
    run, source = Folder(config.output), Folder(getattr(config, "read_from", None) or config.output)
    stages = {name: getattr(config, name, "none") for name in ("tokens", "selection")}
    read = {name: cards.read_card(source / stage) for name, stage in stages.items() if stage != "none"}
    made_from = {name: card["identity"] for name, card in read.items() if card is not None}
    return {
        "run": run.uri, "steps": state.step, "tokens_seen": state.size, "order": state.order,
        "heldout_loss": state.heldout, "identity": identity, **made_from, "commit": commit(),
        "settings": json.loads(json.dumps(asdict(config))), "versions": cards.versions(), "created": cards.now(),
    }  # fmt: skip


def commit() -> str | None:
    """The commit of raypipe's own source, None where it was installed from a package."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
