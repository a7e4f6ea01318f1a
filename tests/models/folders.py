"""Small model folders, and ways to spoil them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig

from tests.score.conftest import make_tokenizer


def small_model(folder: Path, *, tied: bool = False, **changes: Any) -> Any:
    """A random Llama of two layers with a byte-level tokenizer, saved in a folder."""
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
             "num_key_value_heads": 1, "max_position_embeddings": 128, "vocab_size": len(tokenizer)}  # fmt: skip
    config = LlamaConfig(**{**sizes, "tie_word_embeddings": tied, **changes})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.save_pretrained(folder)
    return model


def rewrite(folder: Path, change: Any) -> None:
    """The folder's weights as `change` of their dict gives them."""
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(path)).items()}, path, {"format": "pt"})


def reconfigure(folder: Path, **changes: Any) -> None:
    """config.json with other settings."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
