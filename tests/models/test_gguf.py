"""GGUF files as llama.cpp's converter writes them of a Llama, and what they say of its rotary embedding."""

import json

import gguf
import numpy as np
import pytest
import torch

from raypipe.models.causal import open_model
from raypipe.models.gguf import llama3_of
from tests.models.folders import small_model

HEADS, KV_HEADS, HEAD_SIZE, THETA = 2, 1, 8, 10_000.0
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": THETA, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": THETA, "factor": 2.0}
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYPIPE_CACHE", str(tmp_path / "cache"))


def scaled_model(folder, rope):
    """A Llama whose attention depends on its positions: with small weights no test would see them."""
    model = small_model(folder, rope_parameters=rope, max_position_embeddings=512)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(20)
    model.save_pretrained(folder)
    return model


def divisors(model, rope):
    """What the converter writes: plain frequencies over the model's."""
    plain = 1 / THETA ** (np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)
    return plain / model.model.rotary_emb.inv_freq.numpy()


def write_gguf(path, folder, model, *, factors=None, settings=(), bias=False):
    """The model as a GGUF file; `settings` are (key, type of value, value)."""
    tokens = json.loads((folder / "tokenizer.json").read_text())
    names = [*tokens["model"]["vocab"], *(token["content"] for token in tokens["added_tokens"])]
    names[200] = "ab"  # the file of a byte-pair tokenizer has at least one merge
    config, out = model.config, gguf.GGUFWriter(str(path), "llama")
    out.add_block_count(config.num_hidden_layers)
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_freq_base(THETA)
    out.add_rope_dimension_count(HEAD_SIZE)
    out.add_vocab_size(config.vocab_size)
    for key, kind, value in settings:
        getattr(out, f"add_{kind}")(key, value)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(names)
    out.add_token_types([1] * len(names))
    out.add_token_merges(["a b"])
    out.add_eos_token_id(len(names) - 1)
    for name, tensor in tensors_of(model).items():
        out.add_tensor(name, tensor)
    if factors is not None:
        out.add_tensor("rope_freqs.weight", np.array(factors, np.float32))
    if bias:
        out.add_tensor("blk.0.attn_q.bias", np.ones(HEADS * HEAD_SIZE, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return str(path)


def tensors_of(model):
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    found = {"token_embd.weight": weights["model.embed_tokens.weight"], "output.weight": weights["lm_head.weight"],
             "output_norm.weight": weights["model.norm.weight"]}  # fmt: skip
    for layer in range(model.config.num_hidden_layers):
        for theirs, ours in NAMES.items():
            tensor = weights[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):  # llama.cpp pairs neighbours, transformers halves
                heads = HEADS if theirs == "attn_q" else KV_HEADS
                tensor = tensor.reshape(heads, 2, HEAD_SIZE // 2, -1).swapaxes(1, 2).reshape(tensor.shape)
            found[f"blk.{layer}.{theirs}.weight"] = np.ascontiguousarray(tensor)
    return found


@torch.no_grad()
def furthest(model, ref):
    """The largest difference of a logit between the model and what was read from its file."""
    ids = torch.randint(0, 250, (1, 300), generator=torch.Generator().manual_seed(0))
    return float((model(ids).logits - open_model(ref).weights(dtype="float32", device="cpu")(ids).logits).abs().max())


def test_llama_3s_scaling_is_carried_over_from_the_file_s_factors(tmp_path):
    model = scaled_model(tmp_path / "m", LLAMA3)
    factors = divisors(model, LLAMA3)
    assert factors.max() == pytest.approx(32.0)
    ref = write_gguf(tmp_path / "m.gguf", tmp_path / "m", model, factors=factors)
    assert open_model(ref).config().rope_parameters["rope_type"] == "llama3"
    assert furthest(model, ref) < 1e-3
    plain = write_gguf(tmp_path / "plain.gguf", tmp_path / "m", model)
    assert furthest(model, plain) > 0.1  # what was read before


def test_nothing_is_shown_while_a_file_is_read(tmp_path, capfd):
    from transformers.utils import logging

    model = scaled_model(tmp_path, None)
    capfd.readouterr()
    logging.enable_progress_bar()
    write_gguf(tmp_path / "tiny.gguf", tmp_path, model)
    open_model(str(tmp_path / "tiny.gguf")).weights(dtype="float32", device="cpu")
    assert capfd.readouterr().err == ""
    assert logging.is_progress_bar_enabled()


def test_linear_scaling_is_carried_over(tmp_path):
    model = scaled_model(tmp_path / "m", LINEAR)
    settings = [("llama.rope.scaling.type", "string", "linear"), ("llama.rope.scaling.factor", "float32", 2.0)]
    ref = write_gguf(tmp_path / "m.gguf", tmp_path / "m", model, settings=settings)
    assert furthest(model, ref) < 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factors": [1.0, 3.0, 2.0, 5.0]}, r"by rope_freqs.weight in a way that isn't Llama 3's"),
        ({"settings": [("llama.rope.scaling.type", "string", "yarn")]}, "'yarn', which isn't carried over"),
        ({"settings": [("llama.attention.sliding_window", "uint32", 64)]}, "without attention.sliding_window, got 64"),
        ({"settings": [("llama.logit_scale", "float32", 8.0)]}, r"without logit_scale, got 8\.0"),
        ({"bias": True}, "weights for .* of 'llama'"),
    ],
)
def test_what_would_get_lost_is_refused(tmp_path, changes, message):
    model = scaled_model(tmp_path / "m", None)
    ref = write_gguf(tmp_path / "m.gguf", tmp_path / "m", model, **changes)
    with pytest.raises(ValueError, match=message):
        open_model(ref)


def test_the_factors_of_llama_3_1_and_3_2_give_their_settings():
    for factor, theta, n in ((8.0, 500_000.0, 64), (32.0, 500_000.0, 32)):
        frequencies = theta ** -(np.arange(n) / n)
        turns = 8192 * frequencies / (2 * np.pi)
        smooth = (turns - 1) / 3
        between = 1 / ((1 - smooth) / factor + smooth)
        given = np.where(turns > 4, 1.0, np.where(turns < 1, factor, between))
        found = llama3_of(given.astype(np.float32).astype(float), theta=theta)
        assert found == {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 8192}  # fmt: skip
