"""Accuracies, their mean over tasks and their intervals."""

import numpy as np
import pytest

from raypipe.arrays.intervals import wilson_interval
from raypipe.evaluate.comparison import compare
from raypipe.evaluate.exact_match import exact_match
from raypipe.evaluate.task_means import task_means
from tests.train.choices.questions import answered, question


def rows(questions):
    return {"task": [one.task for one in questions], "case": [one.case for one in questions]}


def right(questions, given):
    return {name: exact_match(of, [one.answers for one in questions]) for name, of in given.items()}


def plain(questions, given, **settings):
    values = np.stack(list(right(questions, given).values()))
    return task_means(values, **rows(questions), **settings)


def evaluate(questions, given, *, ours, **settings):
    label = [one.answers[0] for one in questions]
    return compare(right(questions, given), **rows(questions), label=label, ours=ours, **settings)


def test_any_accepted_answer_is_right_and_none_is_wrong():
    assert exact_match(["blue", "red", "green"], [("red", "blue")] * 3).tolist() == [True, True, False]
    assert not exact_match([None], [("red",)])[0]
    with pytest.raises(ValueError, match="got 1 to 2"):
        exact_match(["a"], [("a",), ("b",)])


def test_the_mean_counts_every_task_once():
    asked = answered(["x"] * 90, task="large") + answered(["x"] * 10, task="little")
    found = plain(asked, {"m": ["x"] * 90 + ["y"] * 10}, n_resamples=20)
    assert found.tasks == ("large", "little")
    assert (found.of_task(0, 0).mean, found.of_task(0, 1).mean) == (1.0, 0.0)
    assert found.mean(0).mean == 0.5


def test_resampling_cases_equals_a_slow_loop():
    rng = np.random.default_rng(5)
    asked = [question(task=task, case=f"case {rng.integers(12)}", row=row) for row, task in enumerate("ab" * 30)]
    given = [str(rng.choice(["red", "blue"])) for _ in asked]
    found = plain(asked, {"m": given}, n_resamples=300, seed=2)
    names = sorted({q.case for q in asked})
    drawn, slow = np.random.default_rng(2), []
    for size in (200, 100):
        for counts in drawn.multinomial(len(names), np.full(len(names), 1 / len(names)), size=size):
            of_tasks = []
            for task in "ab":
                rows = [
                    (counts[names.index(q.case)], g in q.answers)
                    for q, g in zip(asked, given, strict=True)
                    if q.task == task
                ]
                of_tasks.append(sum(n * ok for n, ok in rows) / sum(n for n, _ in rows))
            slow.append(of_tasks)
    assert found.resampled[:, 0] == pytest.approx(np.array(slow))
    assert (found.mean(0).low, found.mean(0).high) == pytest.approx(tuple(np.percentile(np.mean(slow, 1), [2.5, 97.5])))


def test_the_interval_of_many_independent_cases_is_the_binomial_one():
    asked = answered(["x"] * 1000)
    found = plain(asked, {"m": ["x"] * 700 + ["y"] * 300}).of_task(0, 0)
    half = 1.96 * (0.7 * 0.3 / 1000) ** 0.5
    assert found.low == pytest.approx(0.7 - half, abs=0.004)
    assert found.high == pytest.approx(0.7 + half, abs=0.004)


def test_rows_of_one_case_widen_the_interval():
    answers = (["x"] * 10 + ["y"] * 10) * 5
    separate = answered(["x"] * 100)
    together = [
        question(task="colour", choices=("x", "y"), answers=("x",), case=str(n // 10), row=n) for n in range(100)
    ]
    width = [plain(asked, {"m": answers}).of_task(0, 0) for asked in (separate, together)]
    assert width[1].high - width[1].low > 2 * (width[0].high - width[0].low)


def test_a_difference_is_paired_and_shown_only_where_zero_is_outside():
    asked = answered(["x"] * 60) + answered(["x"] * 60, task="other")
    base = ["x", "y"] * 60
    better = ["x" if n % 10 else g for n, g in enumerate(base)]
    given = {"base": base, "same": base, "better": better}
    found = evaluate(asked, given, ours="better", n_resamples=400)
    to_base = found["mean_over_tasks"]["better minus"]["base"]
    assert to_base["shown"]
    assert to_base["mean"] == pytest.approx(found["mean_over_tasks"]["accuracy"]["better"]["mean"] - 0.5)
    same = evaluate(asked, given, ours="same", n_resamples=400)
    assert same["mean_over_tasks"]["same minus"]["base"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "shown": False}
    assert found["tasks"]["other"]["n"] == 60
    assert found["tasks"]["other"]["n_cases"] == 60


def test_a_task_that_a_resample_misses_has_no_part_in_its_mean():
    asked = answered(["x"] * 30) + answered(["x"], task="rare")
    found = plain(asked, {"m": ["x"] * 31}, n_resamples=100)
    assert np.isnan(found.resampled[:, 0, 1]).any()
    assert (found.mean(0).low, found.mean(0).high) == pytest.approx(wilson_interval(1.0, 30))


@pytest.mark.parametrize(("given", "ends"), [("x", (0.839, 1.0)), ("y", (0.0, 0.161))])
def test_an_accuracy_of_nothing_or_all_has_an_interval_of_its_cases(given, ends):
    found = plain(answered(["x"] * 20), {"m": [given] * 20}, n_resamples=20)
    assert (found.of_task(0, 0).low, found.of_task(0, 0).high) == pytest.approx(ends, abs=5e-4)


def test_nothing_to_measure_and_unknown_contenders_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        plain([], {"m": []})
    with pytest.raises(ValueError, match="got 1, 2, 2"):
        task_means(np.ones((1, 2), bool), task=["a"], case=["a", "b"])
    with pytest.raises(KeyError, match="have no 'ours'"):
        evaluate(answered(["x"]), {"m": ["x"]}, ours="ours")


def test_means_of_numbers_that_are_all_alike_have_no_width():
    found = task_means(np.full((1, 5), 1.0), task=["a"] * 5, case=list("abcde"), n_resamples=20).of_task(0, 0)
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)
