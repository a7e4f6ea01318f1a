"""Causal attention over packed documents.

A neutralised head attends evenly to everything it may see. It needs no code here: its queries are zero after the
rotary embedding, so every logit is 0 and the causal softmax gives 1/t (dossier step 10, way ii), in any kernel.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

# (queries [v, t, h, d], keys [v, t, k, d], values [v, t, k, d]) -> [v, t, h, d]; v variants of the same documents
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def is_fused(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether one call of a kernel attends over all documents, however long each is."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


def attend_by_document(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    sizes: list[int],
    scale: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Document after document, `sizes` tokens each, with the framework's own kernel: exact on every device.

    Queries [v, t, h, d], keys and values [v, t, k, d] -> [v, t, h, d].
    """
    if not sizes:
        return torch.empty_like(queries)
    is_grouped = queries.shape[2] != keys.shape[2]
    # split, not slices: going back, each slice would fill gradients of the whole length with zeros
    documents = zip(*(heads.transpose(1, 2).split(sizes, dim=2) for heads in (queries, keys, values)), strict=True)
    parts = [
        F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=is_grouped, scale=scale, dropout_p=dropout)
        for q, k, v in documents
    ]
    return torch.cat([part.transpose(1, 2) for part in parts], dim=1)


def attend_in_one_call(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    borders: torch.Tensor,
    *,
    longest: int,
    scale: float | None = None,
) -> torch.Tensor:
    """The same for documents of one stream on a GPU: q [t, h, d], k and v [t, k, d] -> [t, h, d].

    `borders` [n + 1] int32 are on the device.
    """
    from torch.nn.attention.varlen import varlen_attn

    is_grouped = q.shape[1] != k.shape[1]  # several query heads share a key head
    out = varlen_attn(
        q, k, v, borders, borders, longest, longest, window_size=(-1, 0), scale=scale, enable_gqa=is_grouped
    )
    assert isinstance(out, torch.Tensor)  # a pair only where more is asked for
    return out


def attention_over(cuts: np.ndarray, device: torch.device, dtype: torch.dtype) -> Attend:
    """The fastest exact attention for documents with these borders ([n + 1], on the host) on this device."""
    if is_fused(device, dtype):
        return _fused(cuts, device)
    sizes = np.diff(cuts).tolist()
    return lambda queries, keys, values: attend_by_document(queries, keys, values, sizes=sizes)


def _fused(cuts: np.ndarray, device: torch.device) -> Attend:
    longest = int(np.diff(cuts).max())

    @cache
    def borders(n_variants: int) -> torch.Tensor:
        """Cumulative lengths of all documents of so many variants, int32, on the device."""
        size = int(cuts[-1])
        repeated = np.concatenate([[0], *(cuts[1:] + variant * size for variant in range(n_variants))])
        return torch.from_numpy(repeated.astype(np.int32)).to(device, non_blocking=True)

    def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """An Attend: all variants are documents of one call."""
        q, k, v = (heads.flatten(0, 1) for heads in (queries, keys, values))
        return attend_in_one_call(q, k, v, borders(queries.shape[0]), longest=longest).view(queries.shape)

    return attend
