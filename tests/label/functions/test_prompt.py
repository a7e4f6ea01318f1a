"""A vote by the likeliest answer to a question, and what it can't be asked."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.label.functions.function import said
from raypipe.label.functions.prompt import Prompt

ANSWERS = {"yes": "spam", "no": "ham", "unsure": None}


def table(likelihoods: list, unanswered: list) -> pa.Table:
    return pa.table({"answers.log_likelihoods": likelihoods, "answers.unanswered": unanswered})


def test_the_likeliest_answer_votes_where_its_share_is_high_enough() -> None:
    shares = [[0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6], [0.4, 0.35, 0.25]]
    likelihoods = [[[0.0], (np.log(row) - 40).tolist()] for row in shares]  # the first question is another's
    rows = table([*likelihoods, None], [[None, None]] * 4 + [None])
    one = Prompt("a", "{text}?", ANSWERS, 0.5).placed("answers", 1)
    assert one.reads == ("answers.log_likelihoods", "answers.unanswered")
    assert said(one, rows).classes == ["spam", "ham", None, None, None]
    sure = Prompt("a", "{text}?", ANSWERS, 0.35).placed("answers", 1)
    assert said(sure, rows).classes == ["spam", "ham", None, "spam", None]


def test_an_unanswered_question_is_no_vote_and_says_why() -> None:
    rows = table([[[-1.0, -2.0, -3.0]], [[]], [[-2.0, -1.0, -3.0]]], [[None], ["too long"], [None]])
    found = said(Prompt("a", "{text}?", ANSWERS).placed("answers", 0), rows)
    assert found.classes == ["spam", None, "ham"]
    assert found.failed == {1: "ValueError: too long"}


def test_a_question_that_speaks_for_one_class_says_so() -> None:
    assert Prompt("a", "{text}?", {"yes": "spam", "no": None}).vote == "spam"
    assert Prompt("a", "{text}?", ANSWERS).vote is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"question": "is it?"}, "question must hold {text} once"),
        ({"answers": {"yes": "spam"}}, "answers must be two at least"),
        ({"answers": {"yes": None, "no": None}}, "answers must be two at least, one with a class"),
        ({"answers": {"yes": "spam", " ": None}}, "answers must hold words"),
        ({"at_least": 1.0}, "at_least must be a share from 0 to below 1"),
    ],
)
def test_what_can_not_vote_is_refused_by_name(changes: dict, why: str) -> None:
    given = {"name": "a", "question": "{text}?", "answers": ANSWERS} | changes
    with pytest.raises(ValueError, match=f"labelling function 'a': {why}"):
        Prompt(**given).check()
