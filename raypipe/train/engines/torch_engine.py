"""The plain engine: every worker holds the whole model; gradients are averaged once a step."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser, all_finite, set_learning_rate, unique
from raypipe.train.engines.workers import Workers

WEIGHTS, OPTIMISER = "weights.safetensors", "optimiser-{}.pt"


class TorchEngine:
    """torch and nothing else. In bfloat16 the weights stay float32 and products are autocast."""

    def __init__(
        self, module: nn.Module, optimiser: Optimiser, *, n_micro: int, precision: Precision, workers: Workers
    ) -> None:
        self.workers, self._n_micro, self._clip = workers, n_micro, optimiser.clip
        self._model = module.to(workers.device).train()
        self._optimisers = optimiser.build(self._model)
        self._trained = [weight for weight in self._model.parameters() if weight.requires_grad]
        self._dtype = getattr(torch, precision.dtype)
        self._norm: torch.Tensor | None = None
        self.module: Callable[..., Any] = self._call

    def _call(self, *inputs: Any) -> Any:
        is_mixed = self._dtype != torch.float32
        with torch.autocast(self.workers.device.type, self._dtype) if is_mixed else nullcontext():
            return self._model(*inputs)

    def backward(self, loss: torch.Tensor) -> None:
        """Add to the gradients."""
        (loss / self._n_micro).backward()

    def gradient_norm(self) -> float:
        """Average over workers; every worker has the same norm."""
        gradients = self._gradients()
        self.workers.average(gradients)
        self._norm = nn.utils.get_total_norm(gradients)
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

    def is_finite(self) -> bool:
        """Whether weights and moments are; all workers hold the same."""
        moments = [
            value for optimiser in self._optimisers for state in optimiser.state.values() for value in state.values()
        ]
        return all_finite([*self._trained, *moments])

    def save(self, folder: Path) -> None:
        """The first worker writes; the others hold the same."""
        if self.workers.rank > 0:
            return
        save_file(self.weights(), folder / WEIGHTS)
        for number, optimiser in enumerate(self._optimisers):
            torch.save(optimiser.state_dict(), folder / OPTIMISER.format(number))

    def load(self, folder: Path, *, world: int) -> None:
        """From any number of workers: each held everything."""
        saved = load_file(folder / WEIGHTS)
        with torch.no_grad():
            for name, weight in self._named():
                weight.copy_(saved[name])
        for number, optimiser in enumerate(self._optimisers):
            path = folder / OPTIMISER.format(number)
            optimiser.load_state_dict(torch.load(path, map_location=self.workers.device, weights_only=True))

    def weights(self) -> dict[str, torch.Tensor]:
        """The trained weights by name."""
        if self.workers.rank > 0:
            return {}
        return {name: weight.detach().cpu().contiguous() for name, weight in self._named()}

    def _gradients(self) -> list[torch.Tensor]:
        return [weight.grad for weight in self._trained if weight.grad is not None]

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, weight) for name, weight in unique(self._model.named_parameters()) if weight.requires_grad]
