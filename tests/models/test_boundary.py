"""Where the second part of a text begins, with five kinds of tokenizer."""

import numpy as np
import pytest

from raypipe.models.boundary import continued, opened
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from tests.models.tokenizers_of_five_kinds import KINDS, saved

BEFORE = {"byte_level": 0, "adds_end": 0, "adds_begin_and_end": 1, "prefix_space": 1, "word_piece": 1}
"""Tokens that each puts before a text."""


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request, tmp_path_factory) -> tuple[str, Vocabulary]:
    return request.param, open_vocabulary(saved(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("river stone:", "bread window"),
        ("river stone:", " bread window"),
        ("Q: 12\nA:", "\n42"),
        ("say yes", " no"),
        ("", "river"),
        ("river ünder", " 日本 stone"),
    ],
)
def test_the_ids_are_those_of_the_one_text_and_nothing_is_added_within(kind, first, second):
    name, vocabulary = kind
    whole = vocabulary.backend.encode(first + second, add_special_tokens=False).ids
    found = continued(vocabulary, first, second)
    assert found.ids[BEFORE[name] :] == whole
    assert len(found.is_second) == len(found.ids)
    assert not found.is_second[: BEFORE[name]].any()
    assert np.array_equal(np.sort(found.is_second), found.is_second)  # the second part comes last
    of_second = vocabulary.backend.decode(list(np.array(found.ids)[found.is_second]), skip_special_tokens=False)
    if "[UNK]" not in of_second:
        assert of_second.strip().lower() == second.strip().lower()


def test_a_token_with_signs_of_both_parts_is_the_seconds(tmp_path):
    vocabulary = open_vocabulary(saved("byte_level", tmp_path))
    found = continued(vocabulary, "say ", "yes")
    assert vocabulary.backend.id_to_token(found.ids[-1]) == "Ġyes"
    assert np.flatnonzero(found.is_second).tolist() == [len(found.ids) - 1]


def test_what_goes_on_has_no_end_and_an_empty_text_has_what_comes_before_one(kind):
    name, vocabulary = kind
    text = vocabulary.backend.encode("river", add_special_tokens=False).ids
    assert opened(vocabulary, "river")[BEFORE[name] :] == text
    assert len(opened(vocabulary, "")) == BEFORE[name]
    assert opened(vocabulary, "river")[: BEFORE[name]] == opened(vocabulary, "")
