"""Splits by case, and the cap on the majority class."""

import numpy as np
import pytest

from raypipe.train.choices.class_cap import cap_majority
from raypipe.train.choices.splits import divide
from tests.train.choices.questions import answered, question


def cases(questions):
    return {question.case for question in questions}


def test_no_case_is_in_two_splits_whatever_its_tasks():
    asked = [question(task=t, case=f"case {n}", row=3 * n + at) for n in range(600) for at, t in enumerate("abc")]
    found = divide(asked, validation_share=0.1, test_share=0.2)
    parts = [found.train, found.validation, found.test]
    assert sum(map(len, parts)) == 1800
    assert cases(parts[0]).isdisjoint(cases(parts[1]) | cases(parts[2]))
    assert cases(parts[1]).isdisjoint(cases(parts[2]))
    assert 380 < len(cases(found.train)) < 460
    assert 35 < len(cases(found.validation)) < 90
    assert 90 < len(cases(found.test)) < 150
    assert {q.task for q in found.test} == {"a", "b", "c"}


def test_a_new_case_moves_no_other():
    asked = [question(case=f"case {n}", row=n) for n in range(300)]
    before = divide(asked[:200], validation_share=0.1, test_share=0.2)
    after = divide(asked, validation_share=0.1, test_share=0.2)
    assert cases(before.test) <= cases(after.test)
    assert cases(before.train) <= cases(after.train)


def test_splits_that_the_data_name_are_kept_and_their_leaks_left_out():
    asked = [question(case=case, split=split, row=row) for row, (case, split) in enumerate(
        [("x", "train"), ("x", "test"), ("y", "train"), ("y", "validation"), ("z", "train"), ("z", "train"),
         ("w", "validation"), ("w", "test")])]  # fmt: skip
    found = divide(asked, validation_share=0.1, test_share=0.2)
    assert [q.row for q in found.train] == [4, 5]
    assert [q.row for q in found.validation] == [3]
    assert [q.row for q in found.test] == [1, 7]
    assert found.left_out.counts == {"train row of a test case": 1, "validation row of a test case": 1,
                              "train row of a validation case": 1}  # fmt: skip


@pytest.mark.parametrize("shares", [(0.5, 0.5), (-0.1, 0.2), (0.0, 1.0)])
def test_shares_that_leave_nothing_to_learn_are_refused(shares):
    with pytest.raises(ValueError, match="together below 1, got"):
        divide([question()], validation_share=shares[0], test_share=shares[1])


def test_the_majority_is_cut_to_all_others_together():
    asked = answered(["no"] * 80 + ["yes"] * 15 + ["maybe"] * 5) + answered(["a", "b"] * 30, task="even")
    kept, weights = cap_majority(asked)
    colour = [q.answers[0] for q in kept if q.task == "colour"]
    assert {answer: colour.count(answer) for answer in set(colour)} == {"no": 20, "yes": 15, "maybe": 5}
    assert len([q for q in kept if q.task == "even"]) == 60
    assert weights[[q.answers[0] == "no" for q in kept]].tolist() == [4.0] * 20
    assert weights.sum() == 160
    assert [q.row for q in kept if q.task == "even"] == list(range(60))


def test_small_splits_and_tasks_of_one_answer_stay():
    for answers in (["no"] * 9 + ["yes"], ["no"] * 40, ["no"] * 20 + ["yes"] * 20, []):
        kept, weights = cap_majority(answered(answers))
        assert len(kept) == len(answers)
        assert (weights == 1).all()
    assert len(cap_majority(answered(["no"] * 10 + ["yes"]))[0]) == 2


def test_weighted_accuracy_is_that_of_the_natural_distribution():
    """A model that is right on every "no" and on a third of the rest: 0.8 x 1 + 0.2 / 3 before the cap."""
    asked = answered(["no"] * 240 + ["yes"] * 60)
    kept, weights = cap_majority(asked)
    given = ["no" if q.answers == ("no",) or q.row % 3 else "yes" for q in kept]
    right = np.array([answer in q.answers for answer, q in zip(given, kept, strict=True)])
    natural = np.average(right, weights=weights)
    whole = ["no" if q.answers == ("no",) or q.row % 3 else "yes" for q in asked]
    assert natural == pytest.approx(np.mean([g in q.answers for g, q in zip(whole, asked, strict=True)]))
    assert natural == pytest.approx(0.8 + 0.2 / 3)
    assert right.mean() == pytest.approx(2 / 3)
