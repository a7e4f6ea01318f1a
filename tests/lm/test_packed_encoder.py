"""Packed documents get the states that transformers' own forward pass gives each alone, whatever lies beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel

from raypipe.lm.packed_encoder import states_of
from raypipe.lm.packing import pack
from raypipe.lm.pooling import pool
from raypipe.models.encoder import open_encoder
from tests.embed.tiny_encoders import TINY, save

LENGTHS = (40, 40, 5, 5, 5, 1, 23)
DEVICE = torch.device("cpu")


def documents(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(3, 250, size).astype(np.int32) for size in sizes]


@torch.no_grad()
def alone(folder: Path, texts: list[np.ndarray]) -> list[torch.Tensor]:
    """Each text's states by transformers; a mask is given, which a decoder that isn't causal needs."""
    model: Any = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    found = []
    for text in texts:
        ids = torch.from_numpy(text.astype(np.int64))[None]
        found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0])
    return found


@pytest.mark.parametrize("kind", TINY)
def test_packed_states_are_those_of_each_document_alone(tmp_path: Path, kind: str) -> None:
    save(tmp_path, kind)
    encoder, texts = open_encoder(str(tmp_path)), documents(*LENGTHS)
    weights = encoder.weights(dtype="float32", device="cpu")
    states = states_of(weights, max_tokens=encoder.max_tokens, is_causal=encoder.is_causal)
    with torch.inference_mode():
        found = states(pack(texts, device=DEVICE)).split(LENGTHS)
    for one, expected in zip(found, alone(tmp_path, texts), strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_the_last_token_is_seen_by_the_first_unless_the_model_is_causal(tmp_path: Path) -> None:
    save(tmp_path, "qwen2")
    first, texts = [], documents(9)
    other = [np.concatenate([texts[0][:-1], texts[0][-1:] ^ 1])]
    for is_causal in (True, False):
        encoder = open_encoder(str(tmp_path), is_causal=is_causal)
        states = states_of(encoder.weights(dtype="float32", device="cpu"), max_tokens=64, is_causal=is_causal)
        first.append([states(pack(of, device=DEVICE))[0] for of in (texts, other)])
    assert torch.equal(*first[0])
    assert (first[1][0] - first[1][1]).abs().max() > 1e-3


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_pooling_is_that_of_a_slow_loop(pooling: Any) -> None:
    lengths = [3, 1, 4]
    states = torch.arange(16.0).reshape(8, 2)
    found = pool(states, torch.tensor(lengths), pooling=pooling).tolist()
    rows = [part.tolist() for part in states.split(lengths)]
    at = {"cls": 0, "last": -1}
    expected = [
        [sum(column) / len(column) for column in zip(*of, strict=True)] if pooling == "mean" else of[at[pooling]]
        for of in rows
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
