import numpy as np
import pytest
from scipy.stats import spearmanr

from raypipe.arrays.ranks import share_below, spearman


def test_it_is_scipys_with_ties_and_without_unknown_rows():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    x[:5], y[5:9] = np.nan, np.inf
    assert spearman(x, y) == pytest.approx(spearmanr(x[9:], y[9:])[0], abs=1e-12)


@pytest.mark.parametrize("x", [[1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
def test_too_few_or_constant_rows_have_none(x):
    assert np.isnan(spearman(np.array(x), np.arange(len(x), dtype=float)))


def test_the_share_below_is_a_count_with_ties_half():
    rng = np.random.default_rng(0)
    rows, others = rng.integers(0, 9, 40).astype(float), rng.integers(0, 9, 25).astype(float)
    slow = [np.mean([(row > other) + 0.5 * (row == other) for other in others]) for row in rows]
    assert share_below(rows, others) == pytest.approx(slow)
