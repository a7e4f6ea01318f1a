"""Errors of numbers beside the truth."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from raypipe.evaluate.errors import compare_errors

RNG = np.random.default_rng(0)
Y = RNG.normal(size=200)
GOOD, POOR = Y + 0.3 * RNG.normal(size=200), Y + RNG.normal(size=200)


def test_errors_equal_scikit_learns_and_intervals_hold_them():
    found = compare_errors({"good": GOOD, "poor": POOR}, Y, ours="good")
    for name, numbers in (("good", GOOD), ("poor", POOR)):
        error, share = found["mean_absolute_error"][name], found["explained"][name]
        assert error["mean"] == pytest.approx(mean_absolute_error(Y, numbers))
        assert share["mean"] == pytest.approx(r2_score(Y, numbers))
        assert error["low"] < error["mean"] < error["high"]
        assert share["low"] < share["mean"] < share["high"]
    assert found["good minus"]["poor"]["high"] < 0
    assert found["good minus"]["poor"]["shown"]


def test_the_interval_is_the_normal_one_for_many_rows():
    error = compare_errors({"poor": POOR}, Y, ours="poor")["mean_absolute_error"]["poor"]
    half = 1.96 * np.abs(POOR - Y).std() / np.sqrt(200)
    assert error["high"] - error["low"] == pytest.approx(2 * half, rel=0.1)


def test_the_same_numbers_are_no_difference_and_the_same_seed_the_same_result():
    found = compare_errors({"a": GOOD, "b": GOOD}, Y, ours="a", seed=3)
    assert found["a minus"]["b"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "shown": False}
    assert found == compare_errors({"a": GOOD, "b": GOOD}, Y, ours="a", seed=3)


def test_a_constant_truth_has_no_variance_and_nothing_is_refused():
    assert compare_errors({"a": GOOD}, np.ones(200), ours="a")["explained"] == {"a": None}
    with pytest.raises(ValueError, match="at least one row"):
        compare_errors({"a": np.zeros(0)}, np.zeros(0), ours="a")
    with pytest.raises(KeyError, match="have no 'b'"):
        compare_errors({"a": GOOD}, Y, ours="b")
