import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.report.escape import MAX_MARKS, html_text, shorten, terminal_text, visible

from .synthetic import HOSTILE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07\x00\x7f", "␛[31mred␇␀␡"),
        ("\u202egnp.exe", "[U+202E]gnp.exe"),
        ("\x9b31m", "[U+009B]31m"),
        ("\udc80", "[U+DC80]"),
        ("a\U000e0041", "a[U+E0041]"),
        ("\u0301a", "◌\u0301a"),
        ("z" + "\u0335" * 60, "z" + "\u0335" * MAX_MARKS + f"[+{60 - MAX_MARKS} marks]"),
        ("Việt שָׁלוֹם مرحبا 👩‍👩‍👧", "Việt שָׁלוֹם مرحبا 👩‍👩‍👧"),
    ],
)
def test_unseen_characters_are_shown_and_letters_stay(text, shown):
    assert visible(text) == shown


def test_html_text_leaves_no_markup():
    for text in HOSTILE:
        escaped = html_text(text)
        assert not set("<>\"'") & set(escaped)
        assert html.unescape(escaped) == visible(text)


def test_html_text_keeps_only_the_controls_it_is_told_to():
    assert html_text("a\n\tb\r", keep="\n\t") == "a\n\tb␍"


@given(st.text(st.characters(codec=None)))
def test_nothing_unseen_or_unstorable_is_left(text):
    shown = visible(text)
    shown.encode("utf-8")
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") or c in "\u202a\u202b\u202c\u202d\u202e"]
    assert not set("\u2066\u2067\u2068\u2069\u200e\u200f") & set(shown)


@given(st.text(st.characters(codec=None), max_size=1000))
def test_terminal_text_is_one_short_line(text):
    shown = terminal_text(text, max_chars=50)
    assert len(shown) <= 50
    assert len(shown.splitlines()) <= 1


def test_shorten_keeps_both_ends():
    assert shorten("abcdefghij", 7) == "abcd…ij"
    assert shorten("abc", 3) == "abc"
