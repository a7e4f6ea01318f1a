"""Optimisers: AdamW, and Muon for the matrices between embedding and head with AdamW for the rest."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

PEAK = "peak_lr"


@dataclass(frozen=True)
class Optimiser:
    """Which optimiser, and its settings."""

    optimiser: Literal["adamw", "muon"] = "adamw"
    """muon: hidden matrices by Muon, everything else by AdamW (plain engine only)."""
    learning_rate: float = 3e-4
    """Peak, of AdamW."""
    muon_learning_rate: float = 0.02
    """Peak, of Muon."""
    weight_decay: float = 0.1
    """Of matrices; norms and biases have none."""
    beta1: float = 0.9
    """AdamW's."""
    beta2: float = 0.95
    """AdamW's."""
    clip: float = 1.0
    """Largest norm of the gradient; 0: any."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        ValueError
            If a rate, the decay or the clipping is below 0, or a beta isn't in [0, 1).
        """
        for name in ("learning_rate", "muon_learning_rate", "weight_decay", "clip"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}.")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}.")

    def build(self, module: "nn.Module") -> "list[torch.optim.Optimizer]":
        """The optimisers of a module's trained weights, each weight in one of them."""
        import torch

        named = [(name, weight) for name, weight in unique(module.named_parameters()) if weight.requires_grad]
        if not named:
            raise ValueError("the task must have weights to train, got none that require a gradient.")
        muon = [weight for name, weight in named if self.optimiser == "muon" and _is_hidden_matrix(name, weight)]
        rest = [(name, weight) for name, weight in named if not any(weight is other for other in muon)]
        groups = [
            {"params": [weight for _, weight in rest if weight.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [weight for _, weight in rest if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        built: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [group for group in groups if group["params"]], lr=self.learning_rate, betas=(self.beta1, self.beta2)
            )
        ]
        if muon:
            built.append(torch.optim.Muon(muon, lr=self.muon_learning_rate, weight_decay=self.weight_decay))
        for optimiser in built:
            for group in optimiser.param_groups:
                group[PEAK] = group["lr"]
        return built


def set_learning_rate(groups: Iterable[dict[str, Any]], factor: float) -> None:
    """Every group at this fraction of its peak."""
    for group in groups:
        group["lr"] = factor * group[PEAK]


def unique(named: "Iterable[tuple[str, nn.Parameter]]") -> "Iterable[tuple[str, nn.Parameter]]":
    """Each weight once, by its first name: tied ones have several."""
    seen: set[int] = set()
    for name, weight in named:
        if id(weight) not in seen:
            seen.add(id(weight))
            yield name, weight


def all_finite(values: Iterable[Any]) -> bool:
    """Whether every number of every tensor is finite; what isn't a tensor of floats is passed over."""
    import torch

    tensors = [value for value in values if torch.is_tensor(value) and value.is_floating_point()]
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def _is_hidden_matrix(name: str, weight: "nn.Parameter") -> bool:
    return weight.ndim == 2 and ".layers." in name
