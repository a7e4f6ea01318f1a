"""Documents packed end to end through a transformers model, exactly as though each were alone.

The attention is registered with transformers by name; it gets the documents' borders (`cuts`) and no mask, so that
nothing of one document can reach another. Positions restart with each document.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from raypipe.contracts.rows import Document
from raypipe.models.architecture import check_kind

ATTENTION = "raypipe_packed"


@dataclass(frozen=True)
class Packed:
    """Documents end to end, `t` tokens in all."""

    ids: torch.Tensor  # [1, t] int64
    positions: torch.Tensor  # [1, t] int64
    cuts: list[int]
    """Borders of the documents, n + 1."""

    def model_inputs(self) -> dict[str, Any]:
        """What a transformers model takes; the cache must be off, or it would take the documents for one.

        The borders go as a tensor, on the host: of a list's length torch.compile would make a layer of its own.
        """
        cuts = torch.tensor(self.cuts)
        return {"input_ids": self.ids, "position_ids": self.positions, "cuts": cuts, "use_cache": False}


def pack(documents: Sequence[Document], device: torch.device) -> Packed:
    """The documents, each of at least one token, as one row."""
    sizes = np.array([len(document.ids) for document in documents])
    cuts = np.concatenate([[0], np.cumsum(sizes)])
    ids = np.concatenate([document.ids for document in documents]).astype(np.int64)
    positions = np.arange(len(ids)) - np.repeat(cuts[:-1], sizes)
    return Packed(
        torch.from_numpy(ids)[None].to(device, non_blocking=True),
        torch.from_numpy(positions)[None].to(device, non_blocking=True),
        cuts.tolist(),
    )


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
    if query.device.type == "cuda" and query.dtype in (torch.bfloat16, torch.float16):
        return _varlen(query, key, value, cuts.tolist(), scaling), None
    is_grouped = query.shape[1] != key.shape[1]
    # split, not slices: going back, each slice would fill gradients of the whole length with zeros
    documents = zip(*(heads.split(sizes, dim=2) for heads in (query, key, value)), strict=True)
    parts = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=is_grouped, scale=scaling, dropout_p=dropout)
        for q, k, v in documents
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, cuts: list[int], scaling: float | None
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    borders = torch.tensor(cuts, dtype=torch.int32, device=query.device)
    longest = max(stop - start for start, stop in pairwise(cuts))
    q, k, v = (heads[0].transpose(0, 1).contiguous() for heads in (query, key, value))
    if k.shape[1] != q.shape[1]:
        k, v = (heads.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for heads in (k, v))
    out = varlen_attn(q, k, v, borders, borders, longest, longest, window_size=(-1, 0), scale=scaling)
    assert isinstance(out, torch.Tensor)  # a pair only where more is asked for
    return out[None]


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
