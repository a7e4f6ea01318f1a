"""What most tasks have in common: no hooks, no state, one loss a pass, held-out figures that are means."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from raypipe.contracts.task import Figure, Tensors


class SimpleTask:
    """The parts of `Task` that a method needn't have; its file has models, count, collate, loss and flops."""

    whole_step = False
    figures: Sequence[Figure] = ()

    def after_backward(self, gradients: Tensors) -> None:
        """Nothing."""

    def after_step(self, weights: Tensors, step: int) -> None:
        """Nothing."""

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean of each metric over the held-out rows."""
        return {name: float(values.mean()) for name, values in metrics.items()}

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing."""
        return {}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Nothing."""
