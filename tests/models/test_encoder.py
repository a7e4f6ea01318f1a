"""Encoders give what transformers' own forward pass gives for each document alone, read out by a slow loop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    ModernBertConfig,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from raypipe.models.encoder import open_encoder, pool
from tests.models.folders import rewrite, small_model

SIZES = {"vocab_size": 90, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
         "num_attention_heads": 2, "initializer_range": 0.4}  # fmt: skip
SPECIAL = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
CONFIGS = {
    "bert": BertConfig(**SIZES, max_position_embeddings=40, pad_token_id=0),
    "roberta": RobertaConfig(**SIZES, max_position_embeddings=42, pad_token_id=1),
    "mpnet": MPNetConfig(**SIZES, max_position_embeddings=42, pad_token_id=1),
    "modernbert": ModernBertConfig(**SIZES, **SPECIAL, max_position_embeddings=40, pad_token_id=0, local_attention=8),
    "xlm-roberta": XLMRobertaConfig(**SIZES, max_position_embeddings=42, pad_token_id=1),
}
MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}
OTHERS = ("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens")
PACKAGE = "sentence_transformers.models"


def save(folder: Path, kind: str, *, of: Any = AutoModel) -> Any:
    torch.manual_seed(0)
    model = of.from_config(CONFIGS[kind], dtype=torch.float32).eval()
    model.save_pretrained(folder)
    return model


def say(folder: Path, pooling: dict[str, Any], *more: str, path: str = "1_Pooling") -> None:
    """The files of sentence-transformers."""
    modules = [("", "Transformer"), (path, "Pooling"), *((f"{at}_{name}", name) for at, name in enumerate(more, 2))]
    listed = [{"idx": at, "name": str(at), "path": path, "type": f"{PACKAGE}.{name}"}
              for at, (path, name) in enumerate(modules)]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 16, **pooling}))


def only(mode: str) -> dict[str, bool]:
    return dict.fromkeys([*MODES.values(), *OTHERS], False) | {mode: True}


def documents(*sizes: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(4, 90, size).astype(np.int32) for size in sizes]


@torch.no_grad()
def slow(model: Any, document: np.ndarray, pooling: str, *, normalise: bool) -> list[float]:
    states = model(input_ids=torch.from_numpy(document.astype(np.int64))[None]).last_hidden_state[0].double().tolist()
    if pooling == "mean":
        vector = [sum(column) / len(states) for column in zip(*states, strict=True)]
    else:
        vector = states[0] if pooling == "cls" else states[-1]
    length = sum(value**2 for value in vector) ** 0.5 if normalise else 1.0
    return [value / length for value in vector]


@pytest.mark.parametrize("kind", CONFIGS)
def test_padded_batches_give_what_each_document_gives_alone(tmp_path: Path, kind: str) -> None:
    model, texts = save(tmp_path, kind), documents(5, 1, 40, 17)
    for pooling, mode in MODES.items():
        for more in ((), ("Normalize",)):
            say(tmp_path, only(mode), *more)
            encoder = open_encoder(str(tmp_path))
            assert (encoder.pooling, encoder.is_normalised, encoder.max_tokens) == (pooling, bool(more), 40)
            found = encoder.embed(encoder.weights(dtype="float32", device="cpu"), texts)
            expected = np.array([slow(model, text, pooling, normalise=bool(more)) for text in texts])
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_heads_of_a_masked_language_model_are_left_out(tmp_path: Path, kind: str) -> None:
    masked = save(tmp_path, kind, of=AutoModelForMaskedLM)
    encoder, texts = open_encoder(str(tmp_path)), documents(6)
    found = encoder.embed(encoder.weights(dtype="float32", device="cpu"), texts)
    expected = slow(masked.base_model, texts[0], "mean", normalise=False)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_what_its_own_files_say(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    assert open_encoder(str(tmp_path)).pooling == "mean"  # without modules.json
    say(tmp_path, {"pooling_mode": "lasttoken"})
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 12, "do_lower_case": true}')
    encoder = open_encoder(str(tmp_path))
    assert (encoder.pooling, encoder.max_tokens, encoder.lowers_case) == ("last", 12, True)


def test_edges_of_a_batch(tmp_path: Path) -> None:
    save(tmp_path, "mpnet")
    encoder = open_encoder(str(tmp_path))
    weights = encoder.weights(dtype="float32", device="cpu")
    assert encoder.embed(weights, []).shape == (0, 16)
    for sizes in ((3, 0), (41,)):
        with pytest.raises(ValueError, match="documents must have 1 to 40 tokens"):
            encoder.embed(weights, documents(*sizes))


def test_first_and_last_are_found_where_padding_stands_on_the_left() -> None:
    states, mask = torch.arange(8.0).reshape(1, 4, 2), torch.tensor([[False, True, True, False]])
    assert pool(states, mask, pooling="cls", normalise=False).tolist() == [[2.0, 3.0]]
    assert pool(states, mask, pooling="last", normalise=False).tolist() == [[4.0, 5.0]]
    assert pool(states, mask, pooling="mean", normalise=False).tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize(
    ("pooling", "more", "said"),
    [
        ({"pooling_mode_max_tokens": True}, (), "must pool by one of .* got pooling_mode_max_tokens"),
        ({**only("pooling_mode_cls_token"), "pooling_mode_mean_tokens": True}, (), "must pool by one of"),
        ({"pooling_mode": "weightedmean"}, (), "got weightedmean"),
        (only("pooling_mode_cls_token"), ("Dense",), "Pooling in one inside it and perhaps Normalize.*Dense"),
    ],
)
def test_what_is_not_computed_is_refused(
    tmp_path: Path, pooling: dict[str, Any], more: tuple[str, ...], said: str
) -> None:
    save(tmp_path, "bert")
    say(tmp_path, pooling, *more)
    with pytest.raises(ValueError, match=said):
        open_encoder(str(tmp_path))


def test_a_pooling_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    say(tmp_path, only("pooling_mode_cls_token"), path="../1_Pooling")
    with pytest.raises(ValueError, match="Pooling in one inside it"):
        open_encoder(str(tmp_path))


def test_weights_that_are_missing_or_not_finite_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    name = "encoder.layer.1.output.dense.weight"
    rewrite(tmp_path, lambda weights: weights | {name: weights[name] * float("nan")})
    with pytest.raises(ValueError, match=r"must have finite weights, got NaN or infinity in encoder\.layer\.1"):
        open_encoder(str(tmp_path)).weights(dtype="float32", device="cpu")
    rewrite(tmp_path, lambda weights: {key: weight for key, weight in weights.items() if key != name})
    with pytest.raises(ValueError, match=r"1 missing .*encoder\.layer\.1\.output\.dense\.weight"):
        open_encoder(str(tmp_path)).weights(dtype="float32", device="cpu")


def test_a_causal_model_and_pickled_weights_are_refused(tmp_path: Path) -> None:
    small_model(tmp_path)
    with pytest.raises(ValueError, match="must be one of bert, roberta, mpnet, modernbert, xlm-roberta, got 'llama'"):
        open_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="only pickled weights"):
        open_encoder(str(tmp_path))
