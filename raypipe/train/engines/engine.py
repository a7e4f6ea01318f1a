"""The seam around DeepSpeed: models, gradients, their exchange between workers, the optimiser, its state on disk."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from raypipe.settings.identity import RUNNING

if TYPE_CHECKING:
    import torch

    from raypipe.contracts.task import Placed, Tensors
    from raypipe.train.engines.workers import Workers


@dataclass(frozen=True)
class Precision:
    """Number format and memory of a pass through the model."""

    dtype: str = "float32"
    """Of activations: float32, or bfloat16 with float32 weights in the optimiser."""
    checkpoint_activations: bool = field(default=False, metadata=RUNNING)
    """Compute activations again in the backward pass instead of keeping them."""
    compile: bool = field(default=False, metadata=RUNNING)
    """torch.compile each decoder layer; for GPUs."""

    def apply(self, causal: Any) -> None:
        """Set up a transformers model for it."""
        if self.checkpoint_activations:
            causal.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if self.compile:
            for layer in causal.model.layers:
                layer.compile()


class Engine(Protocol):
    """What the loop asks for; every worker makes the same calls in the same order."""

    workers: "Workers"
    models: "Placed"
    """The task's models, ready to be called."""
    measured: "Placed"
    """The same, the one that is exported standing for the trained one."""
    weights: "Tensors"
    """The trained weights as the optimiser has them; an edit also reaches what the next pass is computed with."""
    gradients: "Tensors"
    """Between a step's last backward pass and its update: averaged over passes and workers."""

    def backward(self, loss: "torch.Tensor") -> None:
        """Add to the gradients; a step has `n_micro` of these, and what is minimised is their mean over all workers."""
        ...

    def exchange(self) -> None:
        """After a step's last backward pass: from here on `gradients` are the same on every worker."""
        ...

    def gradient_norm(self) -> float:
        """The norm of the exchanged gradients, edits included, before clipping; the same on every worker."""
        ...

    def step(self, factor: float) -> None:
        """Clip by that norm, and update the weights at this fraction of the peak learning rate."""
        ...

    def average(self) -> None:
        """Draw the averaged models towards the weights, after whatever a task has edited."""
        ...

    def is_finite(self) -> bool:
        """Whether all trained weights and the optimiser's state are, on all workers."""
        ...

    def save(self, folder: Path) -> None:
        """Write this worker's files of weights, averages and optimiser into a local folder."""
        ...

    def load(self, folder: Path, *, world: int) -> None:
        """Take up what `world` workers saved, all their files being in the folder."""
        ...

    def exported(self) -> "dict[str, torch.Tensor]":
        """The weights that are exported by name, float32, whole, on the CPU; empty on all workers but the first."""
        ...
