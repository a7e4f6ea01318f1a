import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.rewrite.chunks import Chunks, cuts

TEXTS = st.lists(st.sampled_from(["a", "word ", ". ", "\n", "\n\n", "\u0301", "\u4e2d", "! ", "  "])).map("".join)


@given(TEXTS, st.integers(1, 20))
def test_the_pieces_are_the_text_and_none_is_too_long(text: str, max_chars: int):
    found = cuts(text, max_chars=max_chars)
    assert "".join(text[start:stop] for start, stop in found) == text
    assert all(0 < stop - start <= max_chars for start, stop in found)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("short", ["short"]),
        ("one two. three\n\nfour five", ["one two. three\n\n", "four five"]),
        ("one two three\nfour five six", ["one two three\n", "four five six"]),
        ("one two three. four five six", ["one two three. ", "four five six"]),
        ("one two three four five six", ["one two three ", "four five six"]),
        ("a" * 20, ["a" * 16, "a" * 4]),
        ("a" * 15 + "e\u0301e", ["a" * 15, "e\u0301e"]),
    ],
)
def test_a_text_is_cut_where_its_structure_lets_it(text: str, pieces: list[str]):
    assert [text[start:stop] for start, stop in cuts(text, max_chars=16)] == pieces


def test_each_piece_names_its_row_and_its_start():
    made = Chunks(max_chars=6)(pa.table({"text": ["one two", "x", "three four"]}))
    assert made.to_pylist() == [
        {"row": 0, "text": "one ", "start": 0},
        {"row": 0, "text": "two", "start": 4},
        {"row": 1, "text": "x", "start": 0},
        {"row": 2, "text": "three ", "start": 0},
        {"row": 2, "text": "four", "start": 6},
    ]
    assert Chunks()(pa.table({"text": pa.array([], pa.string())})).num_rows == 0


def test_a_length_below_one_is_refused():
    with pytest.raises(ValueError, match="max_chars must be at least 1, got 0"):
        Chunks(0)
