import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raypipe.arrays.quantiles import Quantiles

FRACTIONS = np.array([0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
FLOATS = arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))


def of(values: np.ndarray) -> Quantiles:
    made = Quantiles()
    made.add(values)
    return made


def slow(values: np.ndarray) -> np.ndarray:
    """The order statistic itself."""
    finite = np.sort(values[np.isfinite(values)]).astype(np.float64)
    return finite[np.maximum(1, np.ceil(FRACTIONS * len(finite) - 1e-9)).astype(int) - 1]


@given(FLOATS)
def test_they_are_the_order_statistics_to_a_part_in_4096(values: np.ndarray):
    found = of(values)
    assert found.n == np.isfinite(values).sum()
    assert found.n_other == len(values) - found.n
    if found.n:
        np.testing.assert_allclose(found.at(FRACTIONS), slow(values), rtol=2**-12, atol=1.2e-38)
    else:
        assert np.isnan(found.at(FRACTIONS)).all()


@given(FLOATS, st.lists(st.integers(0, 60), max_size=4), st.randoms())
def test_any_cut_and_any_order_of_merges_give_the_same(values: np.ndarray, cuts: list[int], random):
    parts = [of(part) for part in np.split(values, sorted(cuts))]
    random.shuffle(parts)
    merged = Quantiles()
    for part in parts:
        merged.merge(part)
    whole = of(values)
    assert merged.cells.tolist() == whole.cells.tolist()
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.n_other == whole.n_other


def test_small_integers_are_exact_and_ties_count():
    values = np.array([3, 3, 3, -2, 0, -0.0, 7])
    assert of(values).at(np.array([0, 2 / 7, 0.5, 6 / 7, 1])).tolist() == [-2, 0, 3, 3, 7]


def test_a_fraction_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r"fractions must be in \[0, 1\], got \[1.5\]"):
        of(np.ones(3)).at(np.array([1.5]))
