"""What a training method is, for a loop that knows no tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from raypipe.train.data.loader import Document


@dataclass(frozen=True)
class Terms:
    """A loss as its terms (one a token, or one a document), and the document that each belongs to."""

    losses: torch.Tensor  # [p] float32
    owners: torch.Tensor  # [p] int64, index of the document in the list that was collated


class Task(Protocol):
    """Models, how documents become tensors, and the loss on them."""

    @property
    def module(self) -> nn.Module:
        """What is trained; the engine wraps it and gives it back to `loss`, ready to be called."""
        ...

    def count(self, document: Document) -> int:
        """Terms that a document adds to the loss: its weight in the mean."""
        ...

    def collate(self, documents: Sequence[Document], device: torch.device) -> dict[str, Any]:
        """Documents to tensors."""
        ...

    def loss(self, module: Callable[..., torch.Tensor], tensors: dict[str, Any]) -> Terms:
        """The terms of the loss; their mean over a whole step is what is minimised."""
        ...

    def flops(self, documents: Sequence[Document]) -> float:
        """Floating-point operations of a step on these documents."""
        ...

    def after_backward(self) -> None:
        """Between the last backward pass of a step and the optimiser."""
        ...

    def after_step(self) -> None:
        """After the optimiser, for averages of weights and the like."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """What the task has learnt beside the module's weights; it goes into checkpoints."""
        ...

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take up a state."""
        ...


class Stateless:
    """A task whose weights are all it learns: no hooks, no state."""

    def after_backward(self) -> None:
        """Nothing."""

    def after_step(self) -> None:
        """Nothing."""

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing."""
        return {}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing."""
