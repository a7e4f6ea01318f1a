"""What a training consists of; it loads neither Ray nor torch, so that a job can refuse or find nothing to do first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from raypipe.contracts.task import LOSS
from raypipe.storage.folder import Folder
from raypipe.train.data.loader import BatchLayout, DataLoader
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.zero import Zero
from raypipe.train.loop.plan import TrainingPlan

if TYPE_CHECKING:
    from raypipe.contracts.task import Task
    from raypipe.train.engines.workers import Workers
    from raypipe.train.loop.checkpoint import State


@dataclass(frozen=True)
class Training:
    """All that a worker needs; it is sent to workers, so it must be small."""

    folder: Folder
    """Of the stage: checkpoints/, metrics/."""
    make: Callable[["Workers", BatchLayout], "tuple[Task[Any], DataLoader[Any]]"]
    """Builds the task and its rows, on the worker."""
    export: Callable[[dict[str, Any], "State"], None]
    """Writes the model from the trained weights, on the first worker, at the end."""
    plan: TrainingPlan
    n_sequences: int
    """Sequences, or examples, of a step."""
    micro: int
    """Of them that go through a model together."""
    identity: dict[str, Any]
    optimiser: Optimiser = field(default_factory=Optimiser)
    precision: Precision = field(default_factory=Precision)
    zero: Zero | None = None
    """None: the plain engine."""
    keep: int = 2
    take: Literal["last", "best"] = "last"
    """Whose weights are exported: the last step's, or those of the best by `best_by`."""
    best_by: str = LOSS.name
    """The held-out figure by which a step is the best: loss, or one of the task's."""
    tensorboard: bool = False
    inputs: tuple[str, ...] = ()
    """Models, files and folders that every worker opens; those of this machine must be seen by all nodes."""
    n_threads: int | None = None
    """Of a worker's own arithmetic; None: as many as torch takes."""
