"""What the training jobs share: settings of training, a stage that trains, and where a model comes from."""

import dataclasses
import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from raypipe.contracts.op import Pool
from raypipe.report import write_report
from raypipe.run.cluster import Wanted
from raypipe.run.training import Training
from raypipe.runs import card as cards
from raypipe.runs.life import Life
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.settings.identity import RUNNING, identity_of
from raypipe.settings.nested import flat
from raypipe.storage.folder import Folder
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.zero import Zero
from raypipe.train.loop.journal import busy_s
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule

from .idle import refuse_idle

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from raypipe.train.loop.checkpoint import State

P = TypeVar("P", bound="DataclassInstance")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How training runs, whatever is trained."""

    schedule: Schedule = Schedule()
    optimiser: Optimiser = Optimiser()
    precision: Precision = Precision()
    zero: Zero = field(default=Zero(), metadata=RUNNING)  # but with --engine deepspeed, see `identity`
    engine: Literal["torch", "deepspeed"] = "torch"
    """torch: every worker holds the whole model. deepspeed: ZeRO, see --zero-stage."""
    seed: int = 0
    """Of the order of the data and of new weights."""
    save_every: int = field(default=500, metadata=RUNNING)
    """Steps between checkpoints."""
    heldout_every: int = field(default=0, metadata=RUNNING)
    """Steps between measurements of the held-out loss by domain; 0: at the end only."""
    keep: int = field(default=2, metadata=RUNNING)
    """Checkpoints that are kept beside the best held-out one."""
    workers: int = field(default=1, metadata=RUNNING)
    """Processes that train together; 1: this one."""
    gpus_per_worker: float | None = field(default=None, metadata=RUNNING)
    """GPUs that a worker reserves; None: 1 where there are GPUs, else 0."""
    cpus_per_worker: float | None = field(default=None, metadata=RUNNING)
    """CPUs that a worker reserves, and so its threads; None: 1, or all of this machine's for a worker alone."""
    max_failures: int = field(default=3, metadata=RUNNING)
    """How often lost workers are started again, from the last checkpoint."""
    tensorboard: bool = field(default=False, metadata=RUNNING)
    """Also write RUN/train/tensorboard."""

    def check(self) -> None:
        """Refuse settings of an engine that isn't taken.

        Raises
        ------
        ValueError
            With the first.
        """
        if self.engine != "deepspeed":
            refuse_idle(self.zero, because="without --engine deepspeed")

    def identity(self) -> dict[str, Any]:
        """What can change a weight, for the card."""
        return identity_of(*([self, self.zero] if self.engine == "deepspeed" else [self]))

    def plan(self, n_steps: int) -> TrainingPlan:
        """How long, and what happens when.

        Raises
        ------
        ValueError
            If checkpoints have no distance.
        """
        if self.save_every < 1:
            raise ValueError(f"save_every must be at least 1, got {self.save_every}.")
        return TrainingPlan(n_steps, self.schedule, self.seed, self.save_every, self.heldout_every)

    @property
    def n_threads(self) -> int | None:
        """Of a worker's own arithmetic; None: as many as torch takes."""
        return None if self.cpus_per_worker is None else max(1, int(self.cpus_per_worker))

    def engine_settings(self) -> dict[str, Any]:
        """The engine's part of a Training."""
        return {
            "optimiser": self.optimiser,
            "precision": self.precision,
            "zero": self.zero if self.engine == "deepspeed" else None,
            "keep": self.keep,
            "tensorboard": self.tensorboard,
            "n_threads": self.n_threads,
        }

    def pool(self) -> Pool:
        """The resources of the workers; with several the cluster is joined."""
        if self.workers == 1 and not self.gpus_per_worker:
            import torch

            return Pool(num_gpus=float(torch.cuda.is_available() and self.gpus_per_worker is None))
        return Wanted(self.workers, self.workers, self.gpus_per_worker, self.cpus_per_worker or 1.0).pool


def run_training(
    settings: TrainSettings, training: Training, life: Life, stage: str,
    *, first: Callable[[], None] = lambda: None, then: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Train a stage of a run; at the end the run's report is written anew.

    What is to be done `first`, before training, and `then`, after it, may raise Stopped too.
    """
    if not life.is_restarting(stage):
        cards.check_identity(stage, cards.read_card(training.folder), training.identity)
    life.begin()
    try:
        state = train_stage(settings, training, stage, life.stopping, first=first, then=then)
    except Stopped:
        write_report(life.run)  # of what there is so far
        raise
    life.conclude()
    print(f"{state.step:,} steps, {state.size:,} tokens: {training.folder.uri}/model, order {state.order}")
    print(f"Report: {write_report(life.run).removeprefix('file://')}")


def train_stage(
    settings: TrainSettings, training: Training, stage: str, stopping: threading.Event,
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
    card |= {"versions": cards.versions(), "running": {"workers": settings.workers}}
    with at_work(folder, card):
        try:
            first()
            state = fit(
                training,
                n_workers=settings.workers,
                pool=settings.pool(),
                max_failures=settings.max_failures,
                stopping=stopping,
            )
            then()
        finally:
            card["times"]["busy_s"] = busy_s(folder / "metrics", n_workers=settings.workers)
        card["counts"] = asdict(state) | {"tokens": state.size}
    return state


def part(kind: type[P], config: object) -> P:
    """The settings of one part of a job that has them among its own."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})


def lineage(
    config: "DataclassInstance", identity: dict[str, Any], state: "State", *, run: Folder,
    read: Mapping[str, Folder] = MappingProxyType({}),
) -> dict[str, Any]:  # fmt: skip
    """Where a model comes from: run, data, settings, versions; `read`: the stages that it was made from."""
    found = {name: card for name, folder in read.items() if (card := cards.read_card(folder)) is not None}
    return {
        "run": run.uri, "steps": state.step, "tokens_seen": state.size, "order": state.order,
        "heldout_loss": state.heldout, "identity": identity, **{name: card["identity"] for name, card in found.items()},
        "commit": commit(), "settings": json.loads(json.dumps(flat(config))), "versions": cards.versions(),
        "created": cards.now(),
    }  # fmt: skip


def commit() -> str | None:
    """The commit of raypipe's own source, None where it was installed from a package."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
