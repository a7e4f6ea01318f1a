"""Which causal models are computed exactly, in scoring and in training; no other is opened for either."""

from typing import Any

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3", "olmo2")
"""transformers model types that are computed exactly: SmolLM, SmolLM2 and TinyLlama are `llama`."""


def check_architecture(config: Any, *, max_tokens: int, setting: str = "max_tokens") -> None:
    """Refuse, before any weight is read, a model that isn't computed exactly for documents of so many tokens.

    `setting` is what the user calls that number.

    Raises
    ------
    ValueError
        If the architecture is another, its rotary embedding depends on the length, or it doesn't reach so far back.
    """
    check_kind(config)
    name = config.architectures or config.model_type
    if config.hidden_act != "silu" or getattr(config, "pretraining_tp", 1) != 1:
        raise ValueError(f"model must have SwiGLU layers and pretraining_tp 1, got {config.hidden_act!r} ({name}).")
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    if rope in ("dynamic", "longrope"):
        raise ValueError(f"rotary embedding must not depend on the length of the input, got {rope!r} ({name}).")
    window = window_of(config)
    reach = min(config.max_position_embeddings, window or config.max_position_embeddings)
    if reach < max_tokens:
        raise ValueError(f"{setting} must be at most the {reach} tokens that the model attends to, got {max_tokens}.")


def check_kind(config: Any) -> None:
    """Refuse a model type whose attention or loss head has parts that are computed nowhere here.

    Raises
    ------
    ValueError
        With the types that are known.
    """
    if config.model_type not in ARCHITECTURES:
        name = config.architectures or config.model_type
        raise ValueError(f"model must be one of {', '.join(ARCHITECTURES)}, got {config.model_type!r} ({name}).")


def window_of(config: Any) -> int | None:
    """Tokens that some layer attends back to; None: all."""
    layer_types = getattr(config, "layer_types", None)
    slides = "sliding_attention" in layer_types if layer_types else getattr(config, "sliding_window", None) is not None
    return config.sliding_window if slides else None
