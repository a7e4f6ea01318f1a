"""The seam around DeepSpeed: gradients, their exchange between workers, the optimiser, and its state on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from raypipe.train.engines.workers import Workers


@dataclass(frozen=True)
class Precision:
    """Number format and memory of a pass through the model."""

    dtype: str = "float32"
    """Of activations: float32, or bfloat16 with float32 weights in the optimiser."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass instead of keeping them."""
    compile: bool = False
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
    module: Callable[..., Any]
    """The task's module, ready to be called."""

    def backward(self, loss: "torch.Tensor") -> None:
        """Add to the gradients; a step has `n_micro` of these, and what is minimised is their mean over all workers."""
        ...

    def gradient_norm(self) -> float:
        """Exchange the gradients after a step's last backward pass; their norm before clipping, on every worker."""
        ...

    def step(self, factor: float) -> None:
        """Clip by that norm, and update the weights at this fraction of the peak learning rate."""
        ...

    def is_finite(self) -> bool:
        """Whether all trained weights and the optimiser's state are, on all workers."""
        ...

    def save(self, folder: Path) -> None:
        """Write this worker's files of weights and optimiser into a local folder."""
        ...

    def load(self, folder: Path, *, world: int) -> None:
        """Take up what `world` workers saved, all their files being in the folder."""
        ...

    def weights(self) -> "dict[str, torch.Tensor]":
        """The trained weights by name, whole, on the CPU; empty on all workers but the first."""
        ...
