"""The plain engine: every worker holds the whole model; gradients are averaged once a step."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from raypipe.contracts.task import TRAINED, Models, Tensors
from raypipe.train.engines.averages import Averages
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.handles import Gradients, Weights, autocast, placed, stand_in, trained_weights
from raypipe.train.engines.optimiser import Optimiser, all_finite, set_learning_rate
from raypipe.train.engines.workers import Workers

WEIGHTS, AVERAGES, OPTIMISER = "weights.safetensors", "averages.safetensors", "optimiser-{}.pt"


class TorchEngine:
    """torch and nothing else. In bfloat16 the weights stay float32 and products are autocast."""

    def __init__(
        self, models: Models, optimiser: Optimiser, *, n_micro: int, precision: Precision, workers: Workers
    ) -> None:
        self.workers, self._n_micro, self._clip = workers, n_micro, optimiser.clip
        self._averages, self._exported = Averages(models, workers.device), models.exported
        self._model = models.trained.to(workers.device).train()
        self._optimisers = optimiser.build(self._model)
        self._named = trained_weights(self._model)
        self._trained = list(self._named.values())
        self._dtype = getattr(torch, precision.dtype)
        self._norm: torch.Tensor | None = None
        self.weights: Tensors = Weights(self._named, self._optimisers)
        self.gradients: Tensors = Gradients(self._named)
        self.models = placed(models, self._call, self._averages.modules, device=workers.device, dtype=self._dtype)
        self.measured = stand_in(self.models, models.exported)

    def _call(self, *inputs: Any) -> Any:
        with autocast(self.workers.device, self._dtype):
            return self._model(*inputs)

    def backward(self, loss: torch.Tensor) -> None:
        """Add to the gradients."""
        (loss / self._n_micro).backward()

    def exchange(self) -> None:
        """Average over workers."""
        self.workers.average([weight.grad for weight in self._trained if weight.grad is not None])

    def gradient_norm(self) -> float:
        """Every worker has the same."""
        self._norm = nn.utils.get_total_norm([weight.grad for weight in self._trained if weight.grad is not None])
        return float(self._norm)

    def step(self, factor: float) -> None:
        """Clip, update."""
        assert self._norm is not None, "a step follows gradient_norm()"
        if self._clip:
            nn.utils.clip_grads_with_norm_(self._trained, self._clip, self._norm)
        self._norm = None
        for optimiser in self._optimisers:
            set_learning_rate(optimiser.param_groups, factor)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def average(self) -> None:
        """Draw the averages towards the weights."""
        self._averages.update(self.weights)

    def is_finite(self) -> bool:
        """Whether weights and moments are; all workers hold the same."""
        states = [state for optimiser in self._optimisers for state in optimiser.state.values()]
        return all_finite([*self._trained, *(moment for state in states for moment in state.values())])

    def save(self, folder: Path) -> None:
        """The first worker writes; the others hold the same."""
        if self.workers.rank > 0:
            return
        save_file(self._whole(), folder / WEIGHTS)
        if self._averages.modules:
            save_file(self._averages.state(), folder / AVERAGES)
        for number, optimiser in enumerate(self._optimisers):
            torch.save(optimiser.state_dict(), folder / OPTIMISER.format(number))

    def load(self, folder: Path, *, world: int) -> None:
        """From any number of workers: each held everything."""
        saved = load_file(folder / WEIGHTS)
        for name in self.weights.names():
            self.weights.write(name, saved[name])
        if self._averages.modules:
            self._averages.load(load_file(folder / AVERAGES))
        for number, optimiser in enumerate(self._optimisers):
            path = folder / OPTIMISER.format(number)
            optimiser.load_state_dict(torch.load(path, map_location=self.workers.device, weights_only=True))

    def exported(self) -> dict[str, torch.Tensor]:
        """The weights of the model that is exported."""
        if self.workers.rank > 0:
            return {}
        return self._whole() if self._exported == TRAINED else self._averages.weights(self._exported)

    def _whole(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach().cpu().contiguous() for name, weight in self._named.items()}
