"""What a training method is, for a loop that knows no tokens: models, rows to tensors, a loss, two hooks, metrics.

Engines place, wrap and save a task's models and give them back ready to be called; a task never touches weights or
gradients but through the handles of the engine, because with ZeRO they lie elsewhere, in parts, and twice.
"""

from __future__ import annotations  # torch isn't imported here

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

R_contra = TypeVar("R_contra", contravariant=True)
TRAINED = "trained"


@dataclass(frozen=True)
class Models:
    """The models of a task, as the task makes them."""

    trained: nn.Module
    """What learns; its weights and the optimiser's state are in checkpoints."""
    frozen: Mapping[str, nn.Module] = field(default_factory=dict)
    """By name: called in eval mode without gradients, in the run's dtype; they come from outside and aren't saved."""
    averaged: Mapping[str, float] = field(default_factory=dict)
    """By name, the decay of a moving average of the trained weights: w <- decay w + (1 - decay) trained, after each
    step. It begins with the weights that training begins with, is called as the frozen ones are, whole on each worker
    (in float32), and is in checkpoints."""
    exported: str = TRAINED
    """Which is measured on held-out rows and exported: the trained one, or an average by its name."""


@dataclass(frozen=True)
class Placed:
    """The models of a task on the worker's device, ready to be called."""

    trained: Callable[..., Any]
    frozen: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    averaged: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A number that is measured on held-out rows: its name, and which end of it is the better one."""

    name: str
    higher_is_better: bool = True

    def is_better(self, one: float, other: float) -> bool:
        """Whether the first of two is."""
        return one > other if self.higher_is_better else one < other


LOSS = Figure("loss", higher_is_better=False)
"""What every task has."""


@dataclass(frozen=True)
class RowLosses:
    """A loss as its terms (one a token, or one a row), and the row that each belongs to."""

    losses: torch.Tensor  # [p] float32
    owners: torch.Tensor  # [p] int64, index of the row in the list that was collated
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """By name, [n rows, ...]: what the held-out figures are computed from; not needed while training."""


class Tensors(Protocol):
    """The trained weights, or their gradients, wherever they lie; every worker makes the same calls."""

    def names(self) -> Sequence[str]:
        """Of the trained weights, as the module names them; a shared one has its first name."""
        ...

    def read(self, name: str) -> torch.Tensor:
        """One of them, whole, in float32; not to be written into."""
        ...

    def write(self, name: str, value: torch.Tensor) -> None:
        """Replace it, everywhere it lies; every worker gives the same."""
        ...

    def map(self, edit: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
        """Replace each by what `edit` makes of it; None leaves it."""
        ...

    def forget(self, name: str, places: torch.Tensor) -> None:
        """Set what the optimiser remembers of one of them, its moments, to 0 at these places [bool, its shape].

        Every worker gives the same places. Of gradients nothing is remembered.
        """
        ...


class Task(Protocol[R_contra]):
    """Models, how rows become tensors, and the loss on them."""

    @property
    def models(self) -> Models:
        """Trained, frozen, averaged: the same modules at each call."""
        ...

    @property
    def whole_step(self) -> bool:
        """Whether the loss is one over all rows of a step, of all workers; then the task is a WholeStepTask."""
        ...

    @property
    def figures(self) -> Sequence[Figure]:
        """The held-out figures beside the loss."""
        ...

    def count(self, row: R_contra) -> int:
        """Terms that a row adds to the loss: its weight in the mean."""
        ...

    def collate(self, rows: Sequence[R_contra], device: torch.device) -> dict[str, Any]:
        """Rows to tensors."""
        ...

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """The terms of the loss; their mean over a whole step is what is minimised."""
        ...

    def flops(self, rows: Sequence[R_contra]) -> float:
        """Floating-point operations of a step on these rows."""
        ...

    def after_backward(self, gradients: Tensors) -> None:
        """After a step's last backward pass: the gradients are the step's, averaged over workers, not yet clipped."""
        ...

    def after_step(self, weights: Tensors, step: int) -> None:
        """After the optimiser; `step` counts from 1."""
        ...

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """By name, the held-out figures from the metrics of all held-out rows, in their order; one may be left out."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What the task has learnt beside weights; it goes into checkpoints."""
        ...

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take up a state."""
        ...


class WholeStepTask(Task[R_contra], Protocol[R_contra]):
    """A task whose loss looks at all rows of a step together, such as one with negatives from the batch.

    The loop embeds each pass of each worker without keeping its graph, takes one loss over all, and embeds again
    with the gradients of the embeddings: exact, at the cost of a second forward pass (one pass a step needs none).
    """

    def embed(self, models: Placed, tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
        """By name, [n rows, ...] each: what `loss` is then given of the whole step, and nothing else.

        A learnt scalar, such as a temperature, is handed on as one number a row.
        """
        ...
