"""The sizes of a decoder, from its configuration; no framework is imported for them."""

from dataclasses import dataclass
from typing import Any

MULTIPLE = 16
"""What a GPU's 8-bit product asks of both sizes of the weight."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    hidden_size: int
    ffn_size: int
    vocabulary_size: int
    norm_epsilon: float


def shape_of(config: Any) -> Shape:
    """The sizes of a model, from its configuration."""
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        n_kv_heads=config.num_key_value_heads,
        head_size=head_size,
        hidden_size=config.hidden_size,
        ffn_size=config.intermediate_size,
        vocabulary_size=config.vocab_size,
        norm_epsilon=config.rms_norm_eps,
    )


def check_float8_sizes(config: Any) -> None:
    """Refuse a model whose layers have products that no GPU takes in 8-bit floats.

    Raises
    ------
    ValueError
        With the size that is no multiple of 16.
    """
    shape = shape_of(config)
    queries, keys = shape.n_heads * shape.head_size, shape.n_kv_heads * shape.head_size
    fused = queries + 2 * keys
    sizes = {"hidden": shape.hidden_size, "ffn": shape.ffn_size, "query": queries, "query, key and value": fused}
    for name, size in sizes.items():
        if size % MULTIPLE:
            raise ValueError(
                f"{name} size must be a multiple of {MULTIPLE} for dtype float8, got {size}; use bfloat16."
            )
