"""Open-set classification rate."""

import numpy as np
import pytest

from raypipe.evaluate.oscr import oscr


def by_curve(known, is_right, unknown):
    """The area by thresholds and trapezoids, as the curve is drawn."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(known) | set(unknown), reverse=True):
        points.append(((unknown >= threshold).mean(), ((known >= threshold) & is_right).mean()))
    fpr, ccr = zip(*points, strict=True)
    return np.trapezoid(ccr, fpr)


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_area_under_the_curve(seed):
    rng = np.random.default_rng(seed)
    known, unknown = np.round(rng.normal(size=80) + 1, 1), np.round(rng.normal(size=50), 1)
    is_right = rng.random(80) < 0.8
    assert oscr(known, is_right, unknown) == pytest.approx(by_curve(known, is_right, unknown))


def test_it_is_the_accuracy_where_all_unknown_rows_are_below():
    is_right = np.array([True, True, False, True])
    assert oscr(np.array([5.0, 6.0, 7.0, 8.0]), is_right, np.array([1.0, 2.0])) == 0.75
    assert oscr(np.array([5.0]), np.array([False]), np.array([1.0])) == 0.0


def test_missing_rows_and_nan_are_refused():
    with pytest.raises(ValueError, match="got 1, 1 and 0"):
        oscr(np.zeros(1), np.ones(1, bool), np.zeros(0))
    with pytest.raises(ValueError, match="got NaN"):
        oscr(np.array([np.nan]), np.ones(1, bool), np.zeros(1))
