"""What is let in is computed as transformers computes it, in scoring and in training; the rest is refused."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    MistralConfig,
    PhiConfig,
    Qwen2Config,
)

from raypipe.contracts.rows import Document
from raypipe.lm.decoder import Decoder
from raypipe.lm.loss import token_losses
from raypipe.lm.packing import pack
from raypipe.models.architecture import ARCHITECTURES, check_architecture
from raypipe.train.engines.handles import plainly
from raypipe.train.tasks.next_token import NextToken
from tests.tiny import CONFIGS, SIZES, VOCABULARY, tiny_model

LENGTHS = [40, 7, 17]
GROUPED = {**SIZES, "num_key_value_heads": 2}
WITH_WINDOW = {
    "mistral": MistralConfig(**GROUPED, head_dim=8, sliding_window=16),
    "qwen2": Qwen2Config(**GROUPED, use_sliding_window=True, sliding_window=16, max_window_layers=0),
}
OTHERS = {
    "granite": GraniteConfig(**GROUPED, logits_scaling=8.0),
    "gemma2": Gemma2Config(**GROUPED, head_dim=8, final_logit_softcapping=5.0, attn_logit_softcapping=5.0),
    "cohere": CohereConfig(**GROUPED),
    "phi": PhiConfig(**GROUPED),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=256),
}


def documents():
    draw = np.random.default_rng(0)
    return [draw.integers(1, VOCABULARY, length).astype(np.int32) for length in LENGTHS]


def expected(model):
    """Token losses by transformers' own forward pass, a document at a time."""
    losses = []
    for ids in documents():
        tokens = torch.from_numpy(ids.astype(np.int64))[None]
        logits = model(tokens, use_cache=False).logits[0, :-1].float()
        losses.append(F.cross_entropy(logits, tokens[0, 1:], reduction="none"))
    return torch.cat(losses)


def trained_on(model):
    task = NextToken(model)
    task.module.eval()
    rows = [Document(ids, "all", "file", row) for row, ids in enumerate(documents())]
    return task.loss(plainly(task.models), task.collate(rows, torch.device("cpu"))).losses


def test_each_type_that_is_let_in_is_compared():
    assert {config.model_type for config in CONFIGS.values()} == set(ARCHITECTURES)


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_losses_of_scoring_and_training_are_those_of_transformers(name):
    check_architecture(CONFIGS[name], max_tokens=max(LENGTHS))
    plain = expected(tiny_model(name))
    torch.testing.assert_close(trained_on(tiny_model(name)), plain, rtol=1e-5, atol=1e-5)
    decoder = Decoder(tiny_model(name), max_tokens=max(LENGTHS))
    batch = pack(documents(), device=torch.device("cpu"))
    scored = token_losses(decoder(batch)[0][batch.sources], decoder.head, batch.targets)
    torch.testing.assert_close(scored, plain, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", WITH_WINDOW)
def test_a_window_shorter_than_a_document_is_refused_before_and_in_training(name):
    config = WITH_WINDOW[name]
    with pytest.raises(ValueError, match="length must be at most the 16 tokens"):
        check_architecture(config, max_tokens=max(LENGTHS), setting="length")
    with pytest.raises(ValueError, match=r"whole documents \(40 tokens\) uncapped, got a window of 16"):
        trained_on(AutoModelForCausalLM.from_config(config).eval())


@pytest.mark.parametrize("name", OTHERS)
def test_what_would_be_computed_otherwise_is_refused_in_scoring_and_training(name):
    message = f"model must be one of llama, mistral, qwen2, qwen3, olmo2, got '{name}'"
    with pytest.raises(ValueError, match=message):
        check_architecture(OTHERS[name], max_tokens=8)
    model = AutoModelForCausalLM.from_config(OTHERS[name])
    with pytest.raises(ValueError, match=message):
        NextToken(model)
    with pytest.raises(ValueError, match=message):
        Decoder(model, max_tokens=8)
