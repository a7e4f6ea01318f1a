"""Tiny random models of every architecture, and the slow reference that fast paths are held against."""

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

VOCABULARY = 200
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama tied, grouped": LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "llama untied, biases": LlamaConfig(**SIZES, num_key_value_heads=4, attention_bias=True, mlp_bias=True),
    "llama scaled rotary": LlamaConfig(
        **SIZES,
        num_key_value_heads=1,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, head_dim=16, sliding_window=None),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=16),
    "olmo2": Olmo2Config(**SIZES, num_key_value_heads=2),
}


def tiny_model(name: str = "llama tied, grouped", *, seed: int = 0) -> PreTrainedModel:
    """A random model whose norms and biases are random too, so that forgetting one shows."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            else:
                parameter.mul_(4.0)
    return model


def random_documents(lengths: list[int], *, seed: int = 0, vocabulary: int = VOCABULARY) -> list[torch.Tensor]:
    """Random token ids, one tensor for each length."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, vocabulary, (length,), generator=generator) for length in lengths]


@torch.no_grad()
def reference_losses(model: PreTrainedModel, document: torch.Tensor, heads: list[tuple[int, int]]) -> torch.Tensor:
    """Token losses [t - 1] of one document, slow and plain: transformers' eager attention, and for a neutralised head
    weights of 1/t written out over the values of positions 1..t."""
    hooks = []
    for layer, head in heads:
        attention = model.model.layers[layer].self_attn
        hooks.append(attention.o_proj.register_forward_pre_hook(_uniform(attention, head), with_kwargs=False))
        hooks.append(attention.v_proj.register_forward_hook(_remember(attention)))
    try:
        logits = model(document[None], use_cache=False).logits[0].double()
    finally:
        for hook in hooks:
            hook.remove()
    return -torch.log_softmax(logits[:-1], dim=-1)[torch.arange(len(document) - 1), document[1:]]


def _remember(attention):
    def hook(module, inputs, output):
        attention.seen_values = output

    return hook


def _uniform(attention, head):
    def hook(module, inputs):
        (attended,) = inputs
        size = attention.head_dim
        groups = attention.num_key_value_groups
        values = attention.seen_values[..., (head // groups) * size : (head // groups + 1) * size]
        t = values.shape[1]
        weights = torch.tril(torch.ones(t, t)) / torch.arange(1, t + 1)[:, None]
        changed = attended.clone()
        changed[..., head * size : (head + 1) * size] = weights @ values
        return (changed,)

    return hook
