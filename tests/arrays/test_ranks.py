import numpy as np
import pytest
from scipy.stats import spearmanr

from raypipe.arrays.ranks import spearman


def test_it_is_scipys_with_ties_and_without_unknown_rows():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 9, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    x[:5], y[5:9] = np.nan, np.inf
    assert spearman(x, y) == pytest.approx(spearmanr(x[9:], y[9:])[0], abs=1e-12)


@pytest.mark.parametrize("x", [[1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
def test_too_few_or_constant_rows_have_none(x):
    assert np.isnan(spearman(np.array(x), np.arange(len(x), dtype=float)))
