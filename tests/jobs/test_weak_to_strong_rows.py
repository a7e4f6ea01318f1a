"""What a judge reads: a row's text, and behind it the debate about it."""

import pytest

from jobs.parts.weak_to_strong.rows import text_and_debate
from raypipe.models.tokenizer import open_vocabulary
from tests.models.tokenizers_of_five_kinds import KINDS, saved

TEXT, DEBATE = "river stone bread", "\n\nsay yes or say no"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stands_between_a_text_and_its_debate(kind, tmp_path):
    vocabulary = open_vocabulary(saved(kind, tmp_path))
    whole = vocabulary.backend.encode(TEXT + DEBATE, add_special_tokens=False).ids
    ids = text_and_debate(vocabulary, TEXT, DEBATE, max_first=64, max_second=64)
    assert ids[len(ids) - len(whole) :] == whole


def test_a_debate_is_cut_and_its_text_is_not(tmp_path):
    vocabulary = open_vocabulary(saved("byte_level", tmp_path))
    text, debate = (vocabulary.backend.encode(part).ids for part in (TEXT, DEBATE))
    assert text_and_debate(vocabulary, TEXT, DEBATE, max_first=64, max_second=3) == text + debate[:3]
    assert text_and_debate(vocabulary, TEXT, DEBATE, max_first=64, max_second=64) == text + debate
