"""Statistics of Gopher's rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.describe.gopher_quality import GopherQuality
from raypipe.describe.gopher_repetition import GopherRepetition
from raypipe.describe.texts import CutTexts
from tests.describe.slow import repetition

FEW = st.lists(st.sampled_from(["a", "bc", "the", "x.", "don't", "\n", "\n\n", "…"]), min_size=1, max_size=60)
TEXTS = FEW.map(" ".join).filter(lambda text: not text.isspace())


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_repetition_equals_a_slow_loop(texts: list[str]) -> None:
    found = GopherRepetition()(CutTexts(texts))
    assert set(found) == set(GopherRepetition.adds.names)
    for at, text in enumerate(texts):
        assert {name: values[at] for name, values in found.items()} == pytest.approx(repetition(text))


def test_a_text_says_again_what_it_said() -> None:
    once = "one two three four five six seven eight nine ten eleven twelve"
    found = GopherRepetition()(CutTexts([once, f"{once} {once}", "word"]))
    assert found["duplicate_10gram_chars"].tolist() == [0, pytest.approx(len("".join(once.split()[:10])) / 125), 0]
    assert found["top_2gram_chars"][0] == pytest.approx(len("one two") / len(once))
    assert found["top_2gram_chars"][2] == 0


def test_quality_of_texts_whose_numbers_are_plain_to_see() -> None:
    prose, listed, marks = "The cat, to be fair, sat with a dog.", "- one\n• two\nthree...\n", "# # ... 12 —"
    found = GopherQuality()(CutTexts([prose, listed, marks]))
    assert found["n_words"].tolist() == [9, 4, 1]  # a bullet counts as a word
    assert found["mean_word_length"].tolist() == pytest.approx([25 / 9, 12 / 4, 2])
    assert found["n_stop_words"].tolist() == [3, 0, 0]  # "The" isn't "the"
    assert found["bullet_lines"].tolist() == pytest.approx([0, 2 / 3, 0])
    assert found["ellipsis_lines"].tolist() == pytest.approx([0, 1 / 3, 0])
    assert found["hashes_per_word"].tolist() == pytest.approx([0, 0, 2 / 5])
    assert found["ellipses_per_word"].tolist() == pytest.approx([0, 1 / 6, 1 / 5])
    assert found["words_with_letters"].tolist() == pytest.approx([9 / 12, 3 / 6, 0])


def test_a_text_of_marks_alone_has_no_mean_length() -> None:
    found = GopherQuality()(CutTexts(["... !!", "a"]))
    assert np.isnan(found["mean_word_length"]).tolist() == [True, False]


def test_rows_beside_it_change_nothing_of_a_text() -> None:
    texts = ["the the the the the the", "b c\n\nb c", "the of and with that be to have"]
    together = GopherRepetition()(CutTexts(texts))
    for at, text in enumerate(texts):
        alone = GopherRepetition()(CutTexts([text]))
        assert {name: values[0] for name, values in alone.items()} == {n: v[at] for n, v in together.items()}
