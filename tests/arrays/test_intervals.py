import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from raypipe.arrays.intervals import mean_proportion_interval, wilson_interval


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 7), (50, 120), (9, 9)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilsons_interval_equals_scipys(k, n, level):
    expected = binomtest(k, n).proportion_ci(level, method="wilson")
    assert wilson_interval(k / n, n, level=level) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_an_interval_over_seeds_holds_the_mean_and_stays_in_bounds(values):
    low, high = mean_proportion_interval(np.array(values))
    assert 0 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1


def test_three_seeds_that_differ_much_stay_below_one():
    low, high = mean_proportion_interval(np.array([0.36, 0.58, 0.89]))  # Student's t: -0.05 to 1.27
    assert (low, high) == pytest.approx((0.14, 0.935), abs=0.02)


def test_with_many_seeds_it_is_students_t():
    values = np.random.default_rng(0).normal(0.6, 0.02, 400)
    half = 1.966 * values.std(ddof=1) / 20
    assert mean_proportion_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-4)


def test_one_seed_has_no_interval_and_equal_ones_no_width():
    assert mean_proportion_interval(np.array([0.5])) is None
    assert mean_proportion_interval(np.array([0.487, 0.487, 0.487])) == pytest.approx((0.487, 0.487))


def test_what_is_no_proportion_is_refused():
    with pytest.raises(ValueError, match=r"got 1.2 of 3"):
        wilson_interval(1.2, 3)
