"""Weights and gradients under ZeRO as handles: wherever DeepSpeed keeps them, an edit reaches every copy.

    stage        master weights (float32)             what a pass is computed with      gradients
    0, float32   the module's                         the same                          the module's, whole
    0, bfloat16  a copy in the optimiser, whole       the module's                      the module's, whole
    1, 2         a flat part for each worker          the module's, whole               a part for each worker
    3            a part of each weight a worker       a part; small weights also whole  a part for each worker

Parts are reached by DeepSpeed's own functions (deepspeed.utils, "Modifying Partitioned States" in its manual), which
leave what a pass is computed with as it was; that is written here as well. Stage 3's functions for whole weights don't
know that a last part may be padded, so parts are cut here.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from raypipe.train.engines.handles import Weights, forget_in

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's, the only optimiser that is taken with ZeRO."""


def masters_of(engine: Any) -> dict[int, torch.Tensor]:
    """Whole float32 masters by the id of the module's weight: those of stage 0 in bfloat16; empty otherwise."""
    optimiser = engine.optimizer
    low, high = getattr(optimiser, "fp16_groups", None), getattr(optimiser, "fp32_groups", None)
    if engine.zero_optimization_stage() > 0 or low is None or high is None:
        return {}
    pairs = [pair for lows, highs in zip(low, high, strict=True) for pair in zip(lows, highs, strict=True)]
    return {id(weight): master for weight, master in pairs}


class ZeroWeights(Weights):
    """The trained weights under ZeRO."""

    def __init__(
        self, weights: dict[str, nn.Parameter], masters: dict[int, torch.Tensor], optimiser: torch.optim.Optimizer
    ) -> None:
        super().__init__(weights, (optimiser,))
        self._masters, self._optimiser = masters, optimiser

    def read(self, name: str) -> torch.Tensor:
        """One of them as the optimiser has it, float32."""
        from deepspeed.utils import safe_get_full_fp32_param

        weight: Any = self._weights[name]
        if id(weight) in self._masters:
            return self._masters[id(weight)]
        if not hasattr(weight, "ds_id") and weight.dtype == torch.float32:
            return super().read(name)  # whole on every worker, and equal to its master
        whole: torch.Tensor = safe_get_full_fp32_param(weight)
        return whole

    @torch.no_grad()
    def write(self, name: str, value: torch.Tensor) -> None:
        """Replace it in the optimiser and in the module."""
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_local_fp32_param

        weight: Any = self._weights[name]
        if id(weight) in self._masters:
            self._masters[id(weight)].copy_(value)
        if hasattr(weight, "ds_id"):
            part = part_of(weight, value)
            safe_set_local_fp32_param(weight, part)
            weight.ds_tensor.copy_(part.view_as(weight.ds_tensor))
            if is_whole(weight):
                weight.data.copy_(value.view_as(weight.data))
            return
        if hasattr(weight, "_hp_mapping"):
            safe_set_full_fp32_param(weight, value)
        weight.data.copy_(value)

    @torch.no_grad()
    def forget(self, name: str, places: torch.Tensor) -> None:
        """Moments of one of them are 0 at these places, in every part."""
        from deepspeed.utils import safe_get_full_optimizer_state, safe_set_full_optimizer_state
        from deepspeed.utils.tensor_fragment import safe_get_local_optimizer_state, safe_set_local_optimizer_state

        weight: Any = self._weights[name]
        if hasattr(weight, "ds_id"):
            part = part_of(weight, places)
            for key in MOMENTS:
                held = safe_get_local_optimizer_state(weight, key)
                safe_set_local_optimizer_state(weight, held.masked_fill(part.view_as(held).to(held.device), 0.0), key)
        elif hasattr(weight, "_hp_mapping"):
            for key in MOMENTS:
                whole = safe_get_full_optimizer_state(weight, key)
                safe_set_full_optimizer_state(
                    weight, whole.masked_fill(places.view_as(whole).to(whole.device), 0.0), key
                )
        else:
            forget_in(self._optimiser, self._masters.get(id(weight), weight), places)

    def parts(self) -> Iterator[torch.Tensor]:
        """What this worker holds of each in the module."""
        for weight in self._weights.values():
            yield getattr(weight, "ds_tensor", weight.data)


class ZeroGradients(Weights):
    """The gradients under ZeRO, between a step's last backward pass and its update."""

    def read(self, name: str) -> torch.Tensor:
        """One of them, float32; zeros where the weight took no part."""
        from deepspeed.utils import safe_get_full_grad

        weight: Any = self._weights[name]
        found = safe_get_full_grad(weight)
        if found is None:
            return torch.zeros(getattr(weight, "ds_shape", weight.shape), device=weight.device)
        whole: torch.Tensor = found.detach().float()
        return whole

    @torch.no_grad()
    def write(self, name: str, value: torch.Tensor) -> None:
        """Replace it."""
        from deepspeed.utils import safe_set_full_grad, safe_set_local_grad

        weight: Any = self._weights[name]
        if hasattr(weight, "ds_id"):
            safe_set_local_grad(weight, part_of(weight, value))
        elif hasattr(weight, "_hp_mapping"):
            safe_set_full_grad(weight, value)
        elif weight.grad is not None:
            weight.grad.copy_(value)

    def parts(self) -> Iterator[torch.Tensor]:
        """What this worker holds of each."""
        from deepspeed.utils import safe_get_local_grad

        for one in self._weights.values():
            weight: Any = one
            if hasattr(weight, "ds_id"):
                yield safe_get_local_grad(weight)
            elif getattr(weight, "_hp_mapping", None) is not None:  # the part that this worker updates
                yield weight._hp_mapping.get_lp_grad_fragment(weight._index_in_param_group)
            elif not hasattr(weight, "_hp_mapping") and weight.grad is not None:
                yield weight.grad


def part_of(weight: Any, value: torch.Tensor) -> torch.Tensor:
    """This worker's part of a whole weight of stage 3, padded as DeepSpeed pads it."""
    n = weight.ds_tensor.numel()
    start = n * torch.distributed.get_rank(weight.ds_process_group)
    part = torch.zeros(n, dtype=value.dtype, device=value.device)
    own = value.reshape(-1)[start : start + n]
    part[: len(own)] = own
    return part


def is_whole(weight: Any) -> bool:
    """Whether the module, too, holds a weight of stage 3: small ones stay gathered between passes."""
    return bool(weight.data.numel() == weight.ds_numel)
