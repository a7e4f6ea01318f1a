"""From questions to examples."""

from collections import Counter

import numpy as np
import pytest

from raypipe.train.choices.prepare import ChoiceSettings, first_of_each_task, prepare
from raypipe.train.choices.read import Questions
from raypipe.train.data.left_out import LeftOut
from tests.train.choices.questions import answered, question


def prepared(vocabulary, questions, **changes):
    arguments = {"length": 80, "validation_share": 0.1, "seed": 0}
    settings = ChoiceSettings(**{name: changes.pop(name) for name in list(changes) if name not in arguments})
    return prepare(Questions(questions, LeftOut()), vocabulary, settings, **{**arguments, **changes})


def many(n=300):
    return (
        answered(["red"] * n, choices=("red", "blue"))[: 3 * n // 4]
        + answered(["blue"] * n, choices=("red", "blue"))[3 * n // 4 :]
    )


def test_nothing_that_is_tested_is_learnt_and_the_cap_holds_in_every_split(vocabulary):
    found = prepared(vocabulary, many())
    assert not {q.row for q in found.test} & {d.row for d in found.train + found.validation}
    assert not {d.row for d in found.train} & {d.row for d in found.validation}
    assert found.counts["train"] + found.counts["validation"] + found.counts["test"] == 300
    for answers in ([a for _, a in found.learnt], [q.answers[0] for q in found.test]):
        assert answers.count("red") == answers.count("blue")
    assert found.weights.sum() == pytest.approx(found.counts["test"])
    assert len(found.all_train) == found.counts["train"] > found.counts["train kept"]
    whole = prepared(vocabulary, many(), class_cap=False)
    assert len(whole.train) == whole.counts["train"]
    assert (whole.weights == 1).all()


def test_the_same_seed_gives_the_same_examples_and_the_test_is_the_same_for_all(vocabulary):
    asked = [question(answers=("red", "blue"), case=str(n), row=n) for n in range(100)]
    first, again, other = (prepared(vocabulary, asked, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(first.train, again.train, strict=True))
    assert any(not np.array_equal(a.ids, b.ids) for a, b in zip(first.train, other.train, strict=True))
    assert first.test == other.test


def test_a_limit_takes_the_same_rows_and_more(vocabulary):
    asked = many() + answered(["red", "blue"] * 20, task="other", choices=("red", "blue"))
    rows = [{(d.domain, d.row) for d in prepared(vocabulary, asked, task_examples=n).train} for n in (5, 20)]
    assert rows[0] < rows[1]
    assert Counter(task for task, _ in rows[0]) == {"colour": 5, "other": 5}
    assert first_of_each_task(asked, None, seed=0) == asked


def test_what_doesnt_fit_is_counted(vocabulary):
    long = [question(question="which " * 80, row=1000 + n, case=f"long {n}") for n in range(3)]
    assert prepared(vocabulary, many() + long).left_out.counts == {"longer than 80 tokens without a text": 3}


def test_nothing_left_and_wrong_limits_are_refused(vocabulary):
    with pytest.raises(ValueError, match=r"to learn from and to test on, got 0 and 0; left out: {'longer than 10"):
        prepared(vocabulary, many(), length=10)
    with pytest.raises(ValueError, match=r"got \d+ and 0"):
        prepared(vocabulary, many(), test_share=0.0)
    with pytest.raises(ValueError, match="task_examples must be at least 1, got 0"):
        prepared(vocabulary, many(), task_examples=0)
    with pytest.raises(ValueError, match="99 of them, but the tokenizer has"):
        prepared(vocabulary, answered(["0"] * 20, choices=tuple(map(str, range(99)))))
