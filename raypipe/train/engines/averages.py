"""Moving averages of the trained weights: models of their own, whole on each worker, in float32.

Cost: a model's weights more for each average; with ZeRO, each weight is gathered once a step.
"""

import copy

import torch
from torch import nn

from raypipe.contracts.task import TRAINED, Models, Tensors
from raypipe.train.engines.handles import trained_weights


class Averages:
    """The averages that a task asks for, made from its trained model before an engine takes that."""

    def __init__(self, models: Models, device: torch.device) -> None:
        for name, decay in models.averaged.items():
            if name == TRAINED or "/" in name or not 0 <= decay < 1:
                raise ValueError(
                    f"an average must have a name of its own and a decay in [0, 1), got {name!r}: {decay}."
                )
        if models.exported not in (TRAINED, *models.averaged):
            known = ", ".join([TRAINED, *models.averaged])
            raise ValueError(f"what is exported must be one of {known}, got {models.exported!r}.")
        self._decays = dict(models.averaged)
        self._source = models.trained
        self._weights = {name: list(trained_weights(models.trained)) for name in models.averaged}
        self.modules: dict[str, nn.Module] = {
            name: copy.deepcopy(models.trained).requires_grad_(False).to(device, torch.float32).eval()
            for name in models.averaged
        }

    @torch.no_grad()
    def update(self, weights: Tensors) -> None:
        """Draw each average towards the weights; buffers are taken over as they are."""
        if not self.modules:
            return
        own = {name: dict(module.named_parameters()) for name, module in self.modules.items()}
        for weight in weights.names():
            now = weights.read(weight)
            for name, of_average in own.items():
                of_average[weight].lerp_(now.to(torch.float32), 1 - self._decays[name])
        for module in self.modules.values():
            for mine, its in zip(module.buffers(), self._source.buffers(), strict=True):
                mine.copy_(its)

    def state(self) -> dict[str, torch.Tensor]:
        """Every average's trained weights, on the CPU."""
        return {f"{name}/{weight}": value for name in self.modules for weight, value in self.weights(name).items()}

    @torch.no_grad()
    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Take up a state."""
        for name, module in self.modules.items():
            own = dict(module.named_parameters())
            for weight in self._weights[name]:
                own[weight].copy_(state[f"{name}/{weight}"])

    def weights(self, name: str) -> dict[str, torch.Tensor]:
        """An average's weights by the names of the trained ones, on the CPU."""
        own = dict(self.modules[name].named_parameters())
        return {weight: own[weight].detach().cpu().contiguous().clone() for weight in self._weights[name]}
