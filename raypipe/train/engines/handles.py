"""Weights and gradients of a plain module as handles: read, edit, map."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from raypipe.contracts.task import TRAINED, Models, Placed
from raypipe.train.engines.optimiser import unique


def trained_weights(module: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that learn, by name; a shared one once."""
    return {name: weight for name, weight in unique(module.named_parameters()) if weight.requires_grad}


class Weights:
    """Weights that lie whole in a module; engines that spread them override how one is read and written."""

    def __init__(self, weights: dict[str, nn.Parameter], optimisers: Sequence[torch.optim.Optimizer] = ()) -> None:
        self._weights, self._optimisers = weights, optimisers

    def names(self) -> Sequence[str]:
        """Of the trained weights."""
        return tuple(self._weights)

    def read(self, name: str) -> torch.Tensor:
        """One of them, float32."""
        return self._weights[name].detach()

    def write(self, name: str, value: torch.Tensor) -> None:
        """Replace it."""
        with torch.no_grad():
            self._weights[name].copy_(value)

    def map(self, edit: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
        """Replace each by what `edit` makes of it; None leaves it."""
        for name in self.names():
            if (edited := edit(name, self.read(name))) is not None:
                self.write(name, edited)

    def forget(self, name: str, places: torch.Tensor) -> None:
        """Moments of one of them are 0 at these places."""
        weight = self._weights[name]
        for optimiser in self._optimisers:
            forget_in(optimiser, weight, places)


def forget_in(optimiser: torch.optim.Optimizer, weight: torch.Tensor, places: torch.Tensor) -> None:
    """Set an optimiser's moments of a weight to 0 at these places."""
    for moment in optimiser.state.get(weight, {}).values():
        if torch.is_tensor(moment) and moment.shape == weight.shape:
            moment.masked_fill_(places.to(moment.device), 0.0)


class Gradients(Weights):
    """The gradients of weights that lie whole in a module; of a weight that took no part, zeros."""

    def read(self, name: str) -> torch.Tensor:
        """One of them, float32."""
        weight = self._weights[name]
        return torch.zeros_like(weight) if weight.grad is None else weight.grad.detach().float()

    def write(self, name: str, value: torch.Tensor) -> None:
        """Replace it."""
        weight = self._weights[name]
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        weight.grad.copy_(value)


def placed(
    models: Models,
    trained: Callable[..., Any],
    averages: dict[str, nn.Module],
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> Placed:
    """The models of a task on a device: frozen ones are cast to `dtype`, averages stay float32 and are autocast."""
    frozen = {name: model.requires_grad_(False).to(device, dtype).eval() for name, model in models.frozen.items()}
    mixed = {name: _called(model, device, dtype) for name, model in averages.items()}
    return Placed(trained, {name: torch.no_grad()(model) for name, model in frozen.items()}, mixed)


def stand_in(models: Placed, exported: str) -> Placed:
    """The models with the one that is exported in the place of the trained one."""
    return models if exported == TRAINED else replace(models, trained=models.averaged[exported])


def _called(model: nn.Module, device: torch.device, dtype: torch.dtype) -> Callable[..., Any]:
    def call(*inputs: Any) -> Any:
        """The model's answer, without gradients."""
        with torch.no_grad(), autocast(device, dtype):
            return model(*inputs)

    return call


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Products in this dtype; nothing for float32."""
    return torch.autocast(device.type, dtype) if dtype != torch.float32 else nullcontext()


def plainly(models: Models) -> Placed:
    """A task's models called as they are, where there is no engine: in tests, and where a model only answers."""
    return Placed(models.trained, dict(models.frozen))
