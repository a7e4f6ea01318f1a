"""This project's answers beside those that lm-eval gave once, on the same weights; `make parity` asks it anew."""

import pytest

from raypipe.evaluate.multiple_choice import answers
from raypipe.lm.decoder import Decoder
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from tests.evaluate.stored_questions import questions, save_model, stored


def test_likelihoods_and_choices_are_those_of_lm_eval(tmp_path):
    model, items = save_model(tmp_path), questions()
    decoder = Decoder(open_model(model).weights(dtype="float32", device="cpu"), max_tokens=128)
    found = answers(decoder, open_vocabulary(model), items, max_tokens=128, budget=512)
    for item, one, theirs in zip(items, found, stored()["items"], strict=True):
        assert one.log_likelihood == pytest.approx(theirs["log_likelihood"], rel=1e-4)
        for way, is_right in theirs["right"].items():
            assert (one.chosen(way) == item.gold) == is_right
    assert {one["right"]["raw"] for one in stored()["items"]} == {True, False}
