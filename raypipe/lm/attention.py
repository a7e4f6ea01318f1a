"""Causal attention over packed documents.

A neutralised head attends evenly to everything it may see. It needs no code here: its queries are zero after the
rotary embedding, so every logit is 0 and the causal softmax gives 1/t (dossier step 10, way ii), in any kernel.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

# (queries [v, t, h, d], keys [v, t, k, d], values [v, t, k, d]) -> [v, t, h, d]; v variants of the same documents
Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def attend_by_document(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *, cuts: list[int]
) -> torch.Tensor:
    """Document after document with the framework's own kernel: exact on every device, no padding."""
    out = torch.empty_like(queries)
    groups = queries.shape[2] // keys.shape[2]
    for start, stop in pairwise(cuts):
        q, k, v = (heads[:, start:stop].transpose(1, 2) for heads in (queries, keys, values))
        out[:, start:stop] = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=groups > 1).transpose(
            1, 2
        )
    return out


def attention_over(cuts: np.ndarray, device: torch.device, dtype: torch.dtype) -> Attend:
    """The fastest exact attention for documents with these borders ([n + 1], on the host) on this device."""
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        return _flash(cuts, device)
    borders = cuts.tolist()
    return lambda queries, keys, values: attend_by_document(queries, keys, values, cuts=borders)


def _flash(cuts: np.ndarray, device: torch.device) -> Attend:
    longest = int(np.diff(cuts).max())

    @cache
    def borders(n_variants: int) -> torch.Tensor:
        """Cumulative lengths of all documents of so many variants, int32, on the device."""
        size = int(cuts[-1])
        repeated = np.concatenate([[0], *(cuts[1:] + variant * size for variant in range(n_variants))])
        return torch.from_numpy(repeated.astype(np.int32)).to(device, non_blocking=True)

    def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """An Attend: all variants are documents of one call."""
        from torch.nn.attention.varlen import varlen_attn

        cu = borders(queries.shape[0])
        q, k, v = (heads.flatten(0, 1) for heads in (queries, keys, values))
        grouped = q.shape[1] != k.shape[1]  # several query heads share a key head
        out: torch.Tensor = varlen_attn(  # type: ignore
            q, k, v, cu, cu, longest, longest, window_size=(-1, 0), enable_gqa=grouped
        )
        return out.view(queries.shape)

    return attend
