"""Answers read from worked solutions."""

from decimal import Decimal

import pytest

from raypipe.evaluate.final_answer import as_number, flexible_answer, is_accepted, strict_answer


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("She has 3 + 4 = 7 apples.\n#### 7", "7", "7"),
        ("3 * 400 = $1,200.", None, "$1,200"),
        ("The answer is 12, since 4 + 8 = 12 and not 13", None, "12"),
        ("so \\boxed{-3.5} of 9", None, "-3.5"),
        ("first 5, the answer is: 6. No, the answer is 8.", None, "8"),
        ("nothing at all", None, None),
        ("#### about 40 of 50", "about 40 of 50", "40"),
    ],
)
def test_numbers_are_read_strictly_and_flexibly(text, strict, flexible):
    assert strict_answer(text) == strict
    assert flexible_answer(text, is_number=True) == flexible


def test_words_are_what_follows_a_mark_or_the_first_line():
    assert flexible_answer("Let me see.\nThe answer is (B) blue\nbye", is_number=False) == "(B) blue"
    assert flexible_answer("\n Jupiter \nand more", is_number=False) == "Jupiter"
    assert flexible_answer("", is_number=False) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,000", 1000), ("$ 12.50", Decimal("12.5")), ("7.", 7), ("-3", -3), ("40%", 40), ("NaN", None), ("x", None)],
)
def test_numbers_with_signs_and_commas(text, number):
    assert as_number(text) == number


def test_numbers_match_as_numbers_and_words_without_case():
    assert is_accepted("1,000.00", ["1000"])
    assert not is_accepted("1000.5", ["1000"])
    assert is_accepted("The Valid!", ["valid"])
    assert not is_accepted("", [""])
    assert not is_accepted(None, ["1"])
