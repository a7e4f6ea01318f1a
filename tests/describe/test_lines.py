"""Statistics of the rules of C4 and FineWeb."""

import pytest

from raypipe.describe.c4 import C4, sentences
from raypipe.describe.fineweb import FineWeb
from raypipe.describe.texts import CutTexts, words_in


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("One. Two! Three?", 3),
        ('He said "Stop." Then he went.', 2),
        ("Dr. Who lives in the U.S. and has 3.5 cats.", 1),
        ("Wait... what", 1),
        ("no mark at all", 1),
        ("?! Begun by marks.", 2),
        ("one.Two", 2),
        ("", 0),
    ],
)  # fmt: skip
def test_sentences_are_ended_by_their_marks(text: str, n: int) -> None:
    assert sentences(words_in([text])).tolist() == [n]


def c4(text: str) -> tuple[int, bool, bool]:
    found = C4()(CutTexts([text]))
    return tuple(found[name].tolist()[0] for name in C4.adds.names)


def test_lines_that_are_no_sentences_are_passed_over() -> None:
    kept = "This line is kept. So is this one."
    assert c4(kept) == (2, False, False)
    others = ("Home", "Two words.", "It trails off...", "We use cookies on this page.", "Enable Javascript to go on.")
    for other in (*others, f"{'x' * 1001} is a long word.", "no mark at its end"):
        assert c4(f"{kept}\n{other}") == (2, False, False), other
    assert c4(f"{kept}\nAs was shown[12] before. By whom?[citation needed]") == (4, False, False)
    assert c4("As was shown[12] before.") == (1, False, False)  # of all lines none stays as it was


def test_what_no_page_should_hold_counts_only_in_lines_that_are_kept() -> None:
    assert c4("Lorem ipsum dolor sit amet.") == (1, True, False)
    assert c4("lorem ipsum") == (0, False, False)
    assert c4("if (x) { return 1; } is code.") == (1, False, True)
    assert c4("if (x) { return 1; }") == (0, False, False)


def test_fineweb_looks_at_lines() -> None:
    menu, prose = (
        "Home\nAbout\nHome\n",
        "A line of prose that is longer than thirty characters, and ends.\n\nAnother one!",
    )
    found = FineWeb()(CutTexts([menu, prose]))
    assert found["punctuated_lines"].tolist() == [0, 1]
    assert found["short_lines"].tolist() == [1, 0.5]
    assert found["repeated_line_chars"].tolist() == pytest.approx([4 / 13, 0])
    assert found["line_ends_per_word"].tolist() == pytest.approx([3 / 3, 2 / 17])
