import numpy as np
import pytest

from raypipe.arrays.elimination import levelled, stages_of, still_left


def test_schedules_are_read():
    assert stages_of("5:50 1:500") == [(5, 50), (1, 500)]
    assert stages_of("1:1") == [(1, 1)]


@pytest.mark.parametrize("schedule", ["", "5", "5:10", "1:10 1:20", "5:20 1:10", "a:b", "1:0", "2:10 1:2000"])
def test_schedules_that_are_none_are_refused(schedule):
    with pytest.raises(ValueError, match=r"schedule must be KEEP:EVALUATIONS for each stage, .* to at most 1000"):
        stages_of(schedule, most=1000)


def test_the_lowest_of_those_that_are_left_stay_and_of_equal_ones_the_first():
    left = np.array([[True, True, False, True], [True, True, True, True]])
    errors = np.array([[3.0, 1.0, 0.0, 2.0], [1.0, 1.0, 1.0, 0.5]])
    found = still_left(left, errors, keep=2)
    assert found.tolist() == [[False, True, False, True], [True, False, False, True]]
    assert still_left(left, errors, keep=9).tolist() == left.tolist()


def test_what_was_dropped_is_at_least_as_wrong_as_what_stayed():
    errors, number = np.array([[0.1, 3.0, 2.0, 5.0]]), np.array([[2, 9, 9, 4]])
    assert levelled(errors, number).tolist() == [[5.0, 3.0, 2.0, 5.0]]
    rng = np.random.default_rng(0)
    errors, number = rng.random((50, 6)), rng.integers(1, 4, (50, 6))
    found = levelled(errors, number)
    assert (found >= errors).all()
    for row, count in zip(found, number, strict=True):
        for longer in (2, 3):
            if (count == longer).any() and (count < longer).any():
                assert row[count < longer].min() >= row[count == longer].max()
