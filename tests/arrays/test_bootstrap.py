import numpy as np
import pytest

from raypipe.arrays.bootstrap import bootstrap_interval


def mean(values):
    return values.mean(axis=1)


def test_the_interval_of_a_mean_is_students_for_many_values():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap_interval(values, mean, seed=1)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.05)
    assert high == pytest.approx(values.mean() + half, abs=0.05)


def test_the_same_seed_gives_the_same_interval_and_equal_values_one_without_width():
    values = np.random.default_rng(0).normal(size=12)
    assert bootstrap_interval(values, mean, seed=3) == bootstrap_interval(values, mean, seed=3)
    assert bootstrap_interval(values, mean, seed=3) != bootstrap_interval(values, mean, seed=4)
    assert bootstrap_interval(np.full(5, 2.0), mean, seed=0) == (2.0, 2.0)


def test_rows_are_resampled_whole():
    pairs = np.stack([np.arange(8.0), np.arange(8.0) + 5], axis=1)
    low, high = bootstrap_interval(pairs, lambda drawn: (drawn[..., 1] - drawn[..., 0]).mean(axis=1), seed=0)
    assert (low, high) == (5.0, 5.0)


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        bootstrap_interval(np.zeros(0), mean, seed=0)
