"""A transformers model over packed documents, exactly as though each were alone.

The attention is registered with transformers by name; it gets the documents' borders (`cuts`) and no mask, so that
nothing of one document can reach another. Positions restart with each document.
"""

from typing import Any

import torch

from raypipe.lm.attention import attend_by_document, attend_in_one_call, is_fused
from raypipe.models.architecture import check_kind

ATTENTION = "raypipe_packed"


@torch.compiler.disable  # what surrounds it is compiled; its loop over documents is another for each batch
def attend_packed(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    cuts: torch.Tensor,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document: query [1, h, t, d], key and value [1, k, t, d] -> [1, t, h, d].

    Raises
    ------
    ValueError
        If the model asks for what isn't computed: a window shorter than a document, a cap on logits.
    """
    sizes = cuts.diff().tolist()
    longest = max(sizes)
    if softcap is not None or (sliding_window is not None and sliding_window < longest):
        raise ValueError(
            f"attention must reach over whole documents ({longest} tokens) uncapped, got a window of {sliding_window} "
            f"and a cap of {softcap}; lower --length to the window."
        )
    q, k, v = (heads.transpose(1, 2) for heads in (query, key, value))
    if is_fused(query.device, query.dtype):
        return _in_one_call(q, k, v, cuts, longest, scaling), None
    return attend_by_document(q, k, v, sizes=sizes, scale=scaling, dropout=dropout), None


def _in_one_call(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cuts: torch.Tensor, longest: int, scale: float | None
) -> torch.Tensor:
    """[1, t, h, d]; shared key heads are repeated, so that their gradients are added up as everywhere else."""
    borders = cuts.to(torch.int32).to(q.device, non_blocking=True)
    q, k, v = (heads[0].contiguous() for heads in (q, k, v))
    if k.shape[1] != q.shape[1]:
        k, v = (heads.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for heads in (k, v))
    return attend_in_one_call(q, k, v, borders, longest=longest, scale=scale)[None]


def use_packed_attention(model: Any) -> None:
    """Make a transformers model attend inside documents only.

    Raises
    ------
    ValueError
        If its architecture isn't one that is computed exactly.
    """
    from transformers import AttentionInterface

    check_kind(model.config)
    AttentionInterface.register(ATTENTION, attend_packed)  # registries are per process
    model.set_attn_implementation(ATTENTION)
