import numpy as np
import pytest
from scipy.stats import rankdata

from raypipe.select.ranking.rank_table import RankCounts, exact_table


def middle_ranks(values: np.ndarray) -> np.ndarray:
    return (rankdata(values) - 0.5) / len(values)


def counted(sample: np.ndarray, *parts: np.ndarray) -> RankCounts:
    counts = RankCounts(sample)
    for part in parts:
        counts.update(part)
    return counts


def test_ranks_of_a_whole_group_are_those_of_scipy_with_ties_in_the_middle(rng):
    values = rng.integers(0, 5, 40).astype(float)
    table = exact_table(values)
    assert table.rank(values) == pytest.approx(middle_ranks(values))
    assert (table.n_rows, table.max_error, table.rms_error) == (40, 0, 0)


@pytest.mark.parametrize("n_sample", [1, 2, 30, 400])
@pytest.mark.parametrize("kind", ["smooth", "ties", "skewed"])
def test_ranks_by_a_sample_are_within_the_stated_errors(rng, n_sample, kind):
    values = {"smooth": rng.random(2000), "ties": rng.integers(0, 60, 2000) * 1.0, "skewed": rng.pareto(1, 2000)}[kind]
    table = counted(rng.choice(values, n_sample), values).result()
    wrong = table.rank(values) - middle_ranks(values)
    assert np.abs(wrong).max() <= table.max_error
    assert np.sqrt((wrong**2).mean()) <= table.rms_error
    assert table.n_rows == 2000


def test_a_value_of_the_table_stands_exactly(rng):
    values = rng.integers(0, 9, 500).astype(float)
    table = counted(np.array([2.0, 5.0]), values).result()
    known = np.isin(values, [2, 5])
    assert table.rank(values)[known] == pytest.approx(middle_ranks(values)[known], abs=1e-12)


def test_counts_in_parts_merged_are_those_of_the_whole(rng):
    values, sample = rng.integers(0, 50, 300).astype(float), np.arange(0.0, 50, 7)
    left, whole = counted(sample, values[:100]), counted(sample, values)
    left.merge(counted(sample, values[100:]))
    assert left.equal.tolist() == whole.equal.tolist()
    assert left.between.tolist() == whole.between.tolist()


def test_counts_of_other_values_are_refused():
    with pytest.raises(ValueError, match="same values to be merged"):
        RankCounts(np.array([1.0])).merge(RankCounts(np.array([2.0])))
