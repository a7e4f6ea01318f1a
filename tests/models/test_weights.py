"""Whatever a file lacks is refused by name, whichever way it is opened: nothing is ever drawn at random."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from raypipe.models.causal import open_model
from tests.models.folders import reconfigure, rewrite, small_model

KEYS = 21  # of a small model: embedding, norm, head, nine a layer


@pytest.fixture
def folder(tmp_path):
    small_model(tmp_path)
    return tmp_path


def with_prefix(prefix):
    return lambda weights: {prefix + name: tensor for name, tensor in weights.items()}


def without(part):
    return lambda weights: {name: tensor for name, tensor in weights.items() if part not in name}


def spoilt(value):
    def change(weights):
        weights["model.layers.1.mlp.down_proj.weight"][3, 2] = value
        return weights

    return change


CAUSAL = {
    "wrapped": (with_prefix("module."), rf"all {KEYS} begin with 'module.', which DistributedDataParallel or DeepS"),
    "compiled": (with_prefix("_orig_mod."), "'_orig_mod.', which torch.compile leaves there"),
    "wrapped twice": (with_prefix("module._orig_mod."), "'module._orig_mod.', which DistributedDataParallel"),
    "a layer missing": (without(".layers.1."), r"all 2 layers, but 9 are missing: model.layers.1"),
    "another inner name": (
        lambda weights: {name.replace("model.", "decoder.body."): tensor for name, tensor in weights.items()},
        rf"{KEYS - 1} missing \(model.embed_tokens.weight.* and {KEYS - 4} more\); {KEYS - 1} left over \(decoder.body",
    ),
    "a matrix missing": (without("up_proj"), r"2 missing \(model.layers.0.mlp.up_proj.weight, model.layers.1"),
    "no head": (without("lm_head"), r"1 missing \(lm_head.weight\)"),
    "a bias too many": (
        lambda weights: weights | {"model.layers.0.self_attn.q_proj.bias": torch.zeros(16)},
        r"1 left over \(model.layers.0.self_attn.q_proj.bias\)",
    ),
    "another shape": (
        lambda weights: weights | {"model.norm.weight": torch.ones(8)},
        r"1 of another shape \(model.norm.weight \[8\] for \[16\]\)",
    ),
    "a layer too many": (
        lambda weights: weights | {"model.layers.2.input_layernorm.weight": torch.ones(16)},
        r"must have 2 layers, got weights of more: model.layers.2.input_layernorm.weight",
    ),
    "no embedding": (without("embed_tokens"), "has no embedding among its 20 weights"),
    "NaN": (spoilt(float("nan")), r"NaN or infinity in model.layers.1.mlp.down_proj.weight\."),
    "infinite": (spoilt(float("-inf")), r"NaN or infinity in model.layers.1.mlp.down_proj.weight\."),
    "quantised": (
        lambda weights: weights | {"model.layers.0.mlp.up_proj.qweight": torch.zeros(2, dtype=torch.int32)},
        "must have plain weights, got ones quantised by some method",
    ),
}
ANY = [name for name in CAUSAL if name != "no head"]
EARLY = [name for name in CAUSAL if name not in ("NaN", "infinite")]


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_model_is_opened_whole_or_not_at_all(folder, name):
    change, message = CAUSAL[name]
    rewrite(folder, change)
    with pytest.raises(ValueError, match=message):
        open_model(str(folder)).weights(dtype="float32", device="cpu")


@pytest.mark.parametrize("name", ANY)
def test_so_is_the_body_of_a_classifier(folder, name):
    change, _ = CAUSAL[name]
    rewrite(folder, change)
    with pytest.raises(ValueError, match=r"must have|has no embedding"):
        open_model(str(folder)).classifier(num_labels=3)


@pytest.mark.parametrize("name", EARLY)
def test_all_but_values_is_seen_from_headers_alone(folder, name):
    change, message = CAUSAL[name]
    rewrite(folder, change)
    with pytest.raises(ValueError, match=message):
        open_model(str(folder)).check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_not_finite_is_seen_where_a_model_is_identified(folder, dtype, value):
    rewrite(folder, lambda weights: {name: tensor.to(dtype) for name, tensor in weights.items()})
    rewrite(
        folder, lambda weights: weights | {"model.norm.weight": torch.full((16,), torch.finfo(dtype).max).to(dtype)}
    )
    identity = open_model(str(folder)).sha256()
    rewrite(folder, spoilt(value))
    with pytest.raises(
        ValueError, match=r"finite weights, got NaN or infinity in model.layers.1.mlp.down_proj.weight\."
    ):
        open_model(str(folder)).sha256()
    rewrite(folder, spoilt(-torch.finfo(dtype).max))
    assert open_model(str(folder)).sha256() != identity


def test_a_body_alone_is_enough_under_a_new_head(folder):
    rewrite(folder, without("lm_head"))
    open_model(str(folder)).check(has_new_head=True)
    rewrite(folder, lambda weights: {name.removeprefix("model."): tensor for name, tensor in weights.items()})
    open_model(str(folder)).check(has_new_head=True)
    open_model(str(folder)).classifier(num_labels=3)
    rewrite(folder, without("up_proj"))
    with pytest.raises(ValueError, match=r"2 missing \(model.layers.0.mlp.up_proj.weight"):
        open_model(str(folder)).check(has_new_head=True)


@pytest.mark.parametrize("tied", [False, True])
def test_a_whole_model_is_what_was_saved(tmp_path, tied):
    saved = small_model(tmp_path, tied=tied)
    rewrite(tmp_path, lambda weights: weights | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    opened = open_model(str(tmp_path))
    opened.check()
    model = opened.weights(dtype="float32", device="cpu")
    assert not model.training
    for name, tensor in saved.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_a_classifier_takes_the_body_and_the_first_layers(folder):
    body = load_file(folder / "model.safetensors")
    classifier = open_model(str(folder)).classifier(num_labels=3, num_hidden_layers=1)
    assert classifier.score.weight.shape == (3, 16)
    assert len(classifier.model.layers) == 1
    assert torch.equal(classifier.model.embed_tokens.weight, body["model.embed_tokens.weight"])


def test_a_model_in_several_files_needs_all_of_them(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {name: "b.safetensors" if "layers.1" in name else "a.safetensors" for name in weights}
    for file in ("a.safetensors", "b.safetensors"):
        save_file({name: weights[name] for name in names if names[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    save_file({"other": torch.zeros(1)}, folder / "consolidated.safetensors")  # as Mistral's folders have, unread
    open_model(str(folder)).check()
    open_model(str(folder)).weights(dtype="float32", device="cpu")
    (folder / "b.safetensors").unlink()
    with pytest.raises(ValueError, match=r"index.json names, but b.safetensors isn't there"):
        open_model(str(folder)).check()


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "awq"}, "awq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"bits": 4}, "an unknown method"),
    ],
)
def test_a_quantised_model_is_refused_at_once(folder, settings, method):
    reconfigure(folder, quantization_config=settings)
    with pytest.raises(ValueError, match=f"got ones quantised by {method}; take the model"):
        open_model(str(folder)).check()


def test_an_adapter_is_no_model(folder):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is an adapter .*merge it into its model"):
        open_model(str(folder))


def test_a_tokenizer_larger_than_the_embedding_is_refused_with_the_token(folder):
    from transformers import PreTrainedTokenizerFast

    larger = PreTrainedTokenizerFast.from_pretrained(folder)
    larger.add_tokens(["zebra"])
    larger.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"ids reach 257 \('zebra'\) and its embedding has 257 rows"):
        open_model(str(folder)).check()
