"""A model without the feed-forward units that pruning has left at 0: smaller matrices, the same answers, less time.

Source: structured pruning as in S. Liu, Z. Wang, Ten Lessons, arXiv 2302.02596; all that dense kernels gain by.
"""

from typing import Any

import torch
from torch import nn


def take_out_units(model: Any) -> int:
    """Take units with no weight in or out of a Llama-shaped model's feed-forward layers; how many a layer has left.

    Raises
    ------
    ValueError
        If layers have kept different numbers of units: a configuration has one for all.
    """
    stays = [_used(layer.mlp) for layer in model.model.layers]
    left = {int(of.sum()) for of in stays}
    if len(left) != 1:
        raise ValueError(f"every feed-forward layer must have kept as many units, got {sorted(left)}.")
    (n,) = left
    for layer, of in zip(model.model.layers, stays, strict=True):
        mlp = layer.mlp
        mlp.gate_proj, mlp.up_proj = (_cut(one, of, axis=0) for one in (mlp.gate_proj, mlp.up_proj))
        mlp.down_proj, mlp.intermediate_size = _cut(mlp.down_proj, of, axis=1), n
    model.config.intermediate_size = n
    return n


def _used(mlp: Any) -> torch.Tensor:
    """[units] whether anything leads in and out."""
    into = (mlp.gate_proj.weight != 0).any(dim=1) & (mlp.up_proj.weight != 0).any(dim=1)
    used: torch.Tensor = into & (mlp.down_proj.weight != 0).any(dim=0)
    return used


@torch.no_grad()
def _cut(linear: nn.Linear, stays: torch.Tensor, *, axis: int) -> nn.Linear:
    weight = linear.weight[stays] if axis == 0 else linear.weight[:, stays]
    bias = linear.bias[stays] if axis == 0 and linear.bias is not None else linear.bias
    cut = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    cut.weight.copy_(weight)
    if bias is not None:
        cut.bias.copy_(bias)
    return cut
