"""Llama-shaped models by name or from a configuration file, with named initialisations."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from raypipe.storage.folder import Folder

Initialisation = Literal["normal", "scaled"]
"""normal: every matrix N(0, 0.02). scaled: those that write to the stream N(0, 0.02 / sqrt(2 layers)), as in GPT-2."""

DEVIATION = 0.02


@dataclass(frozen=True)
class LlamaShape:
    """Sizes of a Llama; the vocabulary is the tokenizer's."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    tie_word_embeddings: bool = True


SHAPES = {
    "tiny": LlamaShape(64, 2, 4, 2, 160),
    "4m": LlamaShape(256, 4, 4, 2, 688),
    "135m": LlamaShape(576, 30, 9, 3, 1536),
    "360m": LlamaShape(960, 32, 15, 5, 2560),
    "1b": LlamaShape(2048, 24, 32, 32, 5504),
    "1.7b": LlamaShape(2048, 24, 32, 32, 8192),
    "8b": LlamaShape(4096, 32, 32, 8, 14336, tie_word_embeddings=False),
}
"""135m to 1.7b are SmolLM2's (1b with the FFN of a 1.3 B Llama), 8b Llama 3's."""


def config_of(shape: str, *, vocabulary_size: int, length: int, end: int | None) -> Any:
    """The transformers configuration of a named shape, or of a JSON file of one, for this vocabulary and length.

    Raises
    ------
    ValueError
        If there is no such shape, or the file's vocabulary is smaller than the tokenizer's.
    """
    from transformers import AutoConfig, LlamaConfig

    if shape in SHAPES:
        sizes = asdict(SHAPES[shape])
        return LlamaConfig(
            **sizes,
            vocab_size=vocabulary_size,
            max_position_embeddings=max(length, 2048),
            bos_token_id=end,
            eos_token_id=end,
            initializer_range=DEVIATION,
        )
    if not shape.endswith(".json"):
        raise ValueError(f"shape must be one of {', '.join(SHAPES)} or a .json configuration, got {shape!r}.")
    parent, _, name = shape.rpartition("/")
    settings = json.loads(Folder(parent or ".").read(name))
    kind = settings.pop("model_type", "llama")
    config = AutoConfig.for_model(kind, **settings)
    check_vocabulary(config, vocabulary_size, where=shape)
    return config


def check_vocabulary(config: Any, vocabulary_size: int, *, where: str) -> None:
    """Refuse a model that has no row for some token.

    Raises
    ------
    ValueError
        With both sizes.
    """
    if config.vocab_size < vocabulary_size:
        raise ValueError(
            f"the model's vocabulary must hold the {vocabulary_size:,} ids of the tokenizer, but {where} has "
            f"{config.vocab_size:,}; tokenise with the model's own tokenizer, or set vocab_size."
        )


def new_model(config: Any, *, seed: int, initialisation: Initialisation) -> Any:
    """A causal LM with random float32 weights: the same seed gives the same weights.

    Source of `scaled`: A. Radford et al., Language Models are Unsupervised Multitask Learners, 2019, section 2.3.
    """
    import torch
    from torch import nn
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        if initialisation == "scaled":
            for layer in model.model.layers:
                for linear in (layer.self_attn.o_proj, layer.mlp.down_proj):
                    nn.init.normal_(linear.weight, std=DEVIATION / math.sqrt(2 * config.num_hidden_layers))
    return model
