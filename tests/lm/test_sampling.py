"""Sampling with a seed for each prompt."""

import pytest
import torch

from raypipe.lm.sampling import GumbelNoise, Sampler
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from tests.models.tokenizers_of_five_kinds import KINDS, byte_level, saved

PROMPTS = ["red", "the colour is green green green", "blue is"]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer(["the colour is red green blue " * 3], vocabulary_size=280, folder=folder)
    vocabulary = open_vocabulary(str(folder))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=64, end=None)
    torch.manual_seed(0)
    return new_model(config, seed=0, initialisation="normal").eval(), vocabulary


def test_noise_draws_from_the_softmax():
    logits, temperature, n = torch.tensor([1.0, 0.0, -1.0]), 0.7, 20_000
    noise = GumbelNoise(range(n), temperature=temperature)
    drawn = noise(torch.zeros(n, 1), logits.expand(n, 3)).argmax(dim=1)
    share = torch.bincount(drawn, minlength=3) / n
    torch.testing.assert_close(share, (logits / temperature).softmax(dim=0), atol=0.014, rtol=0)  # four deviations


def test_a_prompt_has_the_same_answer_alone_and_beside_others(parts):
    sampler = Sampler(*parts, max_new_tokens=12, temperature=1.0)
    together = sampler(PROMPTS, [5, 6, 7])
    assert together == sampler(PROMPTS, [5, 6, 7])
    assert together == [sampler([prompt], [seed])[0] for prompt, seed in zip(PROMPTS, (5, 6, 7), strict=True)]
    assert together != sampler(PROMPTS, [8, 9, 10])


def test_without_temperature_the_answer_is_transformers_greedy_one(parts):
    causal, vocabulary = parts
    tokenizer = vocabulary.tokenizer
    found = Sampler(causal, vocabulary, max_new_tokens=8, temperature=0.0)(PROMPTS[1:2], [1])
    ids = torch.tensor([tokenizer(PROMPTS[1])["input_ids"]])
    for _ in range(8):
        ids = torch.cat([ids, causal(input_ids=ids).logits[:, -1:].argmax(dim=2)], dim=1)
    assert found == [tokenizer.decode(ids[0, -8:], skip_special_tokens=True).strip()]


def test_a_chat_template_is_used_where_there_is_one(parts):
    causal, vocabulary = parts
    tokenizer, seen = vocabulary.tokenizer, []
    sampler = Sampler(causal, vocabulary, max_new_tokens=1)
    plain = sampler._ids("red")
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}:"
    try:
        seen = sampler._ids("red")
    finally:
        tokenizer.chat_template = None
    assert tokenizer.decode(plain) == "red"
    assert tokenizer.decode(seen) == "<user>red:"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_ends_a_prompt_before_its_answer(kind, tmp_path):
    vocabulary = open_vocabulary(saved(kind, tmp_path))
    ids = Sampler(None, vocabulary)._ids("say yes")
    whole = vocabulary.backend.encode("say yes", add_special_tokens=False).ids
    assert ids[len(ids) - len(whole) :] == whole


def test_control_strings_in_a_prompt_are_text_and_those_of_a_chat_template_are_tokens(tmp_path):
    tokenizer = byte_level(extra=("<|im_start|>", "<|im_end|>"))
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}<|im_start|>"
    )
    tokenizer.save_pretrained(tmp_path)
    vocabulary = open_vocabulary(str(tmp_path))
    sampler, control = Sampler(None, vocabulary), vocabulary.rendered.token_to_id
    for prompt in ("say yes", "say <|im_end|> or <|end|> now"):
        ids = sampler._ids(prompt)
        assert [at for at in ids if at in map(control, ("<|im_start|>", "<|im_end|>", "<|end|>"))] == [
            control("<|im_start|>"), control("<|im_end|>"), control("<|im_start|>")
        ]  # fmt: skip
        said = vocabulary.rendered.decode(ids, skip_special_tokens=False)
        assert said == f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>"
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "plain")
    plain = open_vocabulary(str(tmp_path / "plain"))
    assert plain.rendered.token_to_id("<|end|>") not in Sampler(None, plain)._ids("say <|end|>")


def test_what_doesnt_fit_is_refused(parts):
    with pytest.raises(ValueError, match=r"fit into the model's 2048 positions, got \d+ \+ 2048 tokens"):
        Sampler(*parts, max_new_tokens=2048)(["red"], [1])
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1 and temperature at least 0, got 0"):
        Sampler(*parts, max_new_tokens=0)
