"""Token states of packed documents, exactly as though each were alone: transformers' encoders, and decoders.

BERT, RoBERTa, XLM-R and ModernBERT run as transformers has them, with an attention of ours that knows the documents'
borders. MPNet has no seam for one, and adds a bias by distance to its logits, so its layers are called from here.
Decoders run in `lm.decoder`, or, where they are trained, as transformers has them.
"""

from collections.abc import Callable
from typing import Any

import torch

from raypipe.lm.attention import BOTH_WAYS, attend_both_ways, attend_in_one_call, is_fused
from raypipe.lm.decoder import Decoder
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed
from raypipe.models.architecture import ARCHITECTURES
from raypipe.models.encoder import first_position

ATTENTION = "raypipe_packed_both_ways"
States = Callable[[Packed], torch.Tensor]
"""A packed batch -> last hidden states [t, d]."""


def states_of(weights: Any, *, max_tokens: int, is_causal: bool) -> States:
    """What gives the token states of a model; a decoder's layers are moved out of it."""
    if weights.config.model_type in ARCHITECTURES:
        decoder = Decoder(weights, max_tokens=max_tokens, is_causal=is_causal)
        return lambda batch: decoder(batch)[0]
    attend_in_place(weights, is_causal=is_causal)
    return lambda batch: states_in_place(weights, batch)


def attend_in_place(weights: Any, *, is_causal: bool) -> None:
    """Make a transformers model without a head, an encoder or a decoder, attend inside documents only."""
    if is_causal:
        use_packed_attention(weights)
    elif weights.config.model_type != "mpnet":
        from transformers import AttentionInterface

        AttentionInterface.register(ATTENTION, attend_packed_both_ways)  # registries are per process
        weights.set_attn_implementation(ATTENTION)


def states_in_place(weights: Any, batch: Packed) -> torch.Tensor:
    """The states [t, d] of a model that attends so, by its own modules: gradients reach its weights."""
    first = first_position(weights.config)
    if weights.config.model_type == "mpnet":
        return _mpnet_states(weights, batch, first)
    inputs: dict[str, Any] = {"input_ids": batch.tokens[None], "position_ids": batch.positions[None] + first}
    if weights.config.model_type in ARCHITECTURES:
        inputs["use_cache"] = False
    states: torch.Tensor = weights(**inputs, cuts=torch.from_numpy(batch.cuts)).last_hidden_state
    return states[0]


def attend_packed_both_ways(
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
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention inside each document: query, key and value [1, h, t, d] -> [1, t, h, d].

    `sliding_window` is as transformers hands it to flash attention: a token sees those fewer than so many away.
    """
    sizes = cuts.diff().tolist()
    longest = max(sizes)
    q, k, v = (heads.transpose(1, 2) for heads in (query, key, value))
    reach = None if sliding_window is None or sliding_window >= longest else sliding_window - 1
    if is_fused(query.device, query.dtype):
        borders = cuts.to(torch.int32).to(q.device, non_blocking=True)
        window = BOTH_WAYS if reach is None else (reach, reach)
        q, k, v = (heads[0].contiguous() for heads in (q, k, v))
        return attend_in_one_call(q, k, v, borders, longest=longest, scale=scaling, window=window)[None], None
    mask = None if reach is None else _band(longest, reach, q.device)
    return attend_both_ways(q, k, v, sizes=sizes, scale=scaling, mask=mask), None


def _band(size: int, reach: int, device: torch.device) -> torch.Tensor:
    """[size, size], true where two positions are at most `reach` apart."""
    at = torch.arange(size, device=device)
    return (at[:, None] - at[None]).abs() <= reach


def _mpnet_states(weights: Any, batch: Packed, first: int) -> torch.Tensor:
    """The layers of transformers' MPNet with a bias of one document in place of one of the whole batch."""
    hidden = weights.embeddings(input_ids=batch.tokens[None], position_ids=batch.positions[None] + first)
    sizes = batch.lengths.tolist()
    bias = weights.encoder.compute_position_bias(hidden[:, : max(sizes)])  # [1, h, longest, longest]
    for layer in weights.encoder.layer:
        attention = layer.attention.attn
        shape = (attention.num_attention_heads, attention.attention_head_size)
        q, k, v = (product(hidden).unflatten(-1, shape) for product in (attention.q, attention.k, attention.v))
        attended = attend_both_ways(q, k, v, sizes=sizes, mask=bias)
        middle = layer.attention.LayerNorm(attention.o(attended.flatten(2)) + hidden)
        hidden = layer.output(layer.intermediate(middle), middle)
    states: torch.Tensor = hidden[0]
    return states
