"""Pieces have what stands around a text in each; by ids of a tokenizer of bytes they can be read."""

import numpy as np
import pytest

from raypipe.embed.pieces import Cutter
from raypipe.embed.template import instructed, split_template
from tests.embed.tiny_encoders import tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer(adds_special=True).save_pretrained(folder)
    return str(folder)


def read(ids: np.ndarray) -> str:
    return tokenizer(adds_special=True).decode(ids.tolist())


def test_a_short_text_is_one_piece(model: str) -> None:
    (found,) = Cutter(model, "{text}", 20, 1)(["abc"])
    assert [read(ids) for ids in found.ids] == ["<s>abc</s>"]
    assert (found.n_tokens_total, found.is_whole) == (5, True)


def test_a_long_one_is_cut_between_what_stands_around_it(model: str) -> None:
    (found,) = Cutter(model, "q: {text} end", 13, 2)(["abcdefghijk"])
    assert [read(ids) for ids in found.ids] == ["<s>q: abcd end</s>", "<s>q: efgh end</s>"]
    assert (found.n_tokens_total, found.is_whole) == (20, False)


def test_a_prompt_alone_is_kept_and_the_text_truncated_as_tokenizers_do(model: str) -> None:
    (found,) = Cutter(model, "q: {text}", 9, 1)(["abcdefgh"])
    kept = tokenizer(adds_special=True)("q: abcdefgh", truncation=True, max_length=9)["input_ids"]
    assert found.ids[0].tolist() == kept


def test_control_strings_of_a_text_stay_text_and_signs_of_several_bytes_are_counted_right(model: str) -> None:
    (found,) = Cutter(model, "ü {text} ö", 30, 1)(["</s>日"])
    assert len(found.ids[0]) == 2 + 3 + 4 + 3 + 3
    (cut,) = Cutter(model, "ü {text} ö", 10, 9)(["</s>日"])
    assert [len(ids) for ids in cut.ids] == [10, 10, 10, 9]


def test_a_text_without_a_token_of_its_own_has_no_piece(model: str) -> None:
    for template in ("q: {text}", "{text} :a", "q: {text} :a"):
        (found,) = Cutter(model, template, 12, 1)([""])
        assert found.ids == []


def test_demonstrations_stand_before_the_instruction() -> None:
    assert instructed("find", [("q", "p")]) == (
        "Instruct: find\nQuery: q\nResponse: p\n\nInstruct: find\nQuery: {text}"
    )
    with pytest.raises(ValueError, match=r"must hold \{text\} once, got 2"):
        split_template("{text} {text}")
