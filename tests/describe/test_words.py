"""Words as spaCy's rules for English cut them; the cuts here are what its release 3.8.18 says."""

import pytest

from raypipe.describe.words import words_of

CUT = {
    "plain": ["plain"],
    "don't": ["do", "n't"],
    "Don’t": ["Do", "n’t"],
    "cannot": ["can", "not"],
    "dog's": ["dog", "'s"],
    "were": ["were"],
    "end.": ["end", "."],
    "U.S.": ["U.S."],
    "B.": ["B."],
    "NASA.": ["NASA", "."],
    "e.g.": ["e.g."],
    "Dr.": ["Dr."],
    '("quoted,")': ["(", '"', "quoted", ",", '"', ")"],
    "wait...": ["wait", "..."],
    "well-known": ["well", "-", "known"],
    "end.Begin": ["end", ".", "Begin"],
    "file.txt": ["file.txt"],
    "https://a-b.org/c,d?e=f": ["https://a-b.org/c,d?e=f"],
    "a,b": ["a", ",", "b"],
    "1,000": ["1,000"],
    "3.5%": ["3.5", "%"],
    "10km": ["10", "km"],
    "$5": ["$", "5"],
    "x=y": ["x", "=", "y"],
    "2020-21": ["2020", "-", "21"],
    "--": ["--"],
    ":)": [":)"],
    "10am": ["10", "am"],
    "¿qué?": ["¿", "qué", "?"],
    "☃snow": ["☃", "snow"],
    "中文。": ["中文", "。"],
}


@pytest.mark.parametrize("piece", CUT)
def test_a_piece_is_cut_as_spacy_cuts_it(piece: str) -> None:
    assert words_of(piece) == CUT[piece]


@pytest.mark.parametrize(
    "piece", ["", ".", "...", "\x00", "'" * 50, "-" * 3000, "a." * 500, "((((x))))", "’s’s’s", "+", "+1"]
)
def test_words_together_are_the_piece(piece: str) -> None:
    assert "".join(words_of(piece)) == piece
