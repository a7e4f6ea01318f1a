"""Attention over packed documents: causal, or of every token to all of its document.

A neutralised head attends evenly to everything it may see. It needs no code here: its queries are zero after the
rotary embedding, so every logit is 0 and the causal softmax gives 1/t (dossier step 10, way ii), in any kernel.
"""

from collections.abc import Callable
from functools import cache
from itertools import groupby

import numpy as np
import torch
import torch.nn.functional as F

# (queries [v, t, h, d], keys [v, t, k, d], values [v, t, k, d]) -> [v, t, h, d]; v variants of the same documents
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
CAUSAL, BOTH_WAYS = (-1, 0), (-1, -1)
"""How many tokens one sees back and ahead, -1: all."""


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


def attend_both_ways(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    sizes: list[int],
    scale: float | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Every token to all of its document; neighbours of equal length go through together: exact on every device.

    Queries [v, t, h, d], keys and values [v, t, k, d] -> [v, t, h, d]. `mask` [..., l, l] is that of the longest, of
    which others take the first rows and columns: bool, true where a token may look, or what is added to its logits.
    """
    parts, start = [], 0
    is_grouped = queries.shape[2] != keys.shape[2]
    for size, run in groupby(sizes):
        stop = start + size * sum(1 for _ in run)
        # [v n, h, size, d]
        q, k, v = (
            heads[:, start:stop].unflatten(1, (-1, size)).flatten(0, 1).transpose(1, 2)
            for heads in (queries, keys, values)
        )
        of_size = None if mask is None else mask[..., :size, :size]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=of_size, enable_gqa=is_grouped, scale=scale)
        parts.append(out.transpose(1, 2).unflatten(0, (len(queries), -1)).flatten(1, 2))
        start = stop
    return torch.cat(parts, dim=1) if parts else torch.empty_like(queries)


def attend_in_one_call(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    borders: torch.Tensor,
    *,
    longest: int,
    scale: float | None = None,
    window: tuple[int, int] = CAUSAL,
) -> torch.Tensor:
    """The same for documents of one stream on a GPU: q [t, h, d], k and v [t, k, d] -> [t, h, d].

    `borders` [n + 1] int32 are on the device; `window` is how far a token sees back and ahead, -1: all.
    """
    from torch.nn.attention.varlen import varlen_attn

    is_grouped = q.shape[1] != k.shape[1]  # several query heads share a key head
    out = varlen_attn(
        q, k, v, borders, borders, longest, longest, window_size=window, scale=scale, enable_gqa=is_grouped
    )
    assert isinstance(out, torch.Tensor)  # a pair only where more is asked for
    return out


def attention_over(cuts: np.ndarray, device: torch.device, dtype: torch.dtype, *, is_causal: bool = True) -> Attend:
    """The fastest exact attention for documents with these borders ([n + 1], on the host) on this device."""
    if is_fused(device, dtype):
        return _fused(cuts, device, CAUSAL if is_causal else BOTH_WAYS)
    attend, sizes = attend_by_document if is_causal else attend_both_ways, np.diff(cuts).tolist()
    return lambda queries, keys, values: attend(queries, keys, values, sizes=sizes)


def _fused(cuts: np.ndarray, device: torch.device, window: tuple[int, int]) -> Attend:
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
        out = attend_in_one_call(q, k, v, borders(queries.shape[0]), longest=longest, window=window)
        return out.view(queries.shape)

    return attend
