"""Which weights a model must have, by its config.json alone: compared with files' headers before anything is loaded.

What the settings leave open isn't compared here: opening the weights compares everything.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from raypipe.models.weights import check_loaded

Shape = list[int]
BODY, HEAD = "model.", "lm_head."
_NORMS = {"olmo2": ("post_attention_layernorm", "post_feedforward_layernorm")}
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def check_shapes(
    tensors: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any], *, where: str, unused: Iterable[str] = ()
) -> None:
    """Refuse files that lack a weight of the model in `config`, or have one more or one of another shape.

    `unused` are regular expressions of weights that nobody will read.

    Raises
    ------
    ValueError
        With the names.
    """
    expected = expected_shapes(config)
    if expected is None:
        return
    is_body = "embed_tokens.weight" in tensors  # saved without its head: transformers opens it too
    held = {BODY + name if is_body and not name.startswith(HEAD) else name: of["shape"] for name, of in tensors.items()}
    if config.get("tie_word_embeddings") is not False:  # tied, or by what is the default of its type
        unused = [*unused, rf"^{HEAD}"]
    both = expected.keys() & held.keys()
    found = {
        "missing_keys": expected.keys() - held.keys(),
        "unexpected_keys": held.keys() - expected.keys(),
        "mismatched_keys": [(name, held[name], expected[name]) for name in both if held[name] != expected[name]],
    }
    check_loaded(found, where=where, new=unused, unused=unused)


def expected_shapes(config: Mapping[str, Any]) -> dict[str, Shape] | None:
    """Name -> shape of each weight of a causal model; None for a type unknown here, or without sizes."""
    kind = config.get("model_type")
    if kind not in ("llama", "mistral", "qwen2", "qwen3", "olmo2") or not all(config.get(name) for name in _SIZES):
        return None
    rows, hidden = config["vocab_size"], config["hidden_size"]
    layer = _layer(config, kind)
    if layer is None:
        return None
    layers = range(config["num_hidden_layers"])
    return {
        "model.embed_tokens.weight": [rows, hidden],
        **{f"model.layers.{at}.{name}": shape for at in layers for name, shape in layer.items()},
        "model.norm.weight": [hidden],
        "lm_head.weight": [rows, hidden],
    }


def _layer(config: Mapping[str, Any], kind: str) -> dict[str, Shape] | None:
    """Of one layer; None where the number of its key heads is left to a default."""
    hidden, inner, n_heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    n_key_heads = config.get("num_key_value_heads")
    size = config.get("head_dim") or (128 if kind == "qwen3" else hidden // n_heads)
    if n_key_heads is None:
        return None
    queries, keys = n_heads * size, n_key_heads * size
    matrices = {
        "self_attn.q_proj": [queries, hidden],
        "self_attn.k_proj": [keys, hidden],
        "self_attn.v_proj": [keys, hidden],
        "self_attn.o_proj": [hidden, queries],
        "mlp.gate_proj": [inner, hidden],
        "mlp.up_proj": [inner, hidden],
        "mlp.down_proj": [hidden, inner],
    }
    biased = [name for name in matrices if _has_bias(name, config, kind)]
    inside = {"qwen3": [[size], [size]], "olmo2": [[queries], [keys]]}.get(kind, [])
    return {
        **{f"{name}.weight": shape for name, shape in matrices.items()},
        **{f"{name}.bias": matrices[name][:1] for name in biased},
        **{f"{name}.weight": [hidden] for name in _NORMS.get(kind, ("input_layernorm", "post_attention_layernorm"))},
        **{f"self_attn.{name}_norm.weight": shape for name, shape in zip("qk", inside, strict=False)},
    }


def _has_bias(matrix: str, config: Mapping[str, Any], kind: str) -> bool:
    if matrix.startswith("mlp."):
        return kind == "llama" and bool(config.get("mlp_bias"))
    if kind == "qwen2":
        return not matrix.endswith("o_proj")
    return kind != "mistral" and bool(config.get("attention_bias"))
