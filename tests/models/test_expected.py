"""What a config.json says of weights is what transformers builds, for every type that is let in."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Olmo2Config, Qwen2Config, Qwen3Config

from raypipe.models.architecture import ARCHITECTURES
from raypipe.models.expected import check_shapes, expected_shapes
from tests.tiny import CONFIGS, SIZES

VARIED = {
    "llama, biases": LlamaConfig(**SIZES, num_key_value_heads=2, attention_bias=True, mlp_bias=True),
    "llama, head size": LlamaConfig(**SIZES, num_key_value_heads=1, head_dim=24),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2),
    "qwen2, all": Qwen2Config(**SIZES, num_key_value_heads=4),
    "qwen3, biases": Qwen3Config(**SIZES, num_key_value_heads=2, attention_bias=True),
    "olmo2, biases": Olmo2Config(**SIZES, num_key_value_heads=2, attention_bias=True),
}
ALL = {**CONFIGS, **VARIED}


def held(config, *, tied):
    config = copy.deepcopy(config)
    config.tie_word_embeddings = tied
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {name: {"shape": list(weight.shape)} for name, weight in model.state_dict().items()}


def test_each_type_that_is_let_in_is_known():
    assert {config.model_type for config in ALL.values()} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", ALL)
def test_names_and_shapes_are_those_of_transformers(name):
    tensors = held(ALL[name], tied=False)
    assert expected_shapes(ALL[name].to_diff_dict()) == {key: of["shape"] for key, of in tensors.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_tied_model_may_leave_its_head_out(name):
    tensors = held(CONFIGS[name], tied=True)
    for with_head in (tensors, {key: of for key, of in tensors.items() if not key.startswith("lm_head")}):
        check_shapes(with_head, CONFIGS[name].to_diff_dict() | {"tie_word_embeddings": True}, where="it")


def test_what_the_settings_leave_open_is_not_compared():
    assert expected_shapes({"model_type": "bert"}) is None
    assert expected_shapes({"model_type": "llama", "hidden_size": 32}) is None
    settings = {key: of for key, of in CONFIGS["mistral"].to_dict().items() if key != "num_key_value_heads"}
    assert expected_shapes(settings) is None


def test_the_weight_that_one_layer_lacks_is_named():
    config = VARIED["mistral"]
    tensors = {key: of for key, of in held(config, tied=False).items() if "layers.1.mlp.up_proj" not in key}
    with pytest.raises(ValueError, match=r"it must have .*, got 1 missing \(model.layers.1.mlp.up_proj.weight\)"):
        check_shapes(tensors, config.to_diff_dict(), where="it")
