import numpy as np
import pytest
import scipy.stats

from raypipe.report.numbers.gather import KEPT
from raypipe.report.numbers.measures import (
    by_domain,
    correlate,
    density,
    duplicate_fraction,
    extremes,
    medians,
    quantiles,
    scatter_sample,
    spearman,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_spearman_equals_scipys(rng):
    x = rng.integers(0, 12, 200).astype(float)  # many ties
    y = x + 4 * rng.normal(size=200)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)


def test_spearman_leaves_rows_out_that_lack_either_value(rng):
    x, y = rng.normal(size=60), rng.normal(size=60)
    x[::7], y[::5] = np.nan, np.nan
    expected = scipy.stats.spearmanr(x, y, nan_policy="omit").statistic
    assert spearman(x, y) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [3.0, 3.0, 3.0, 3.0], [np.nan] * 4])
def test_spearman_is_nan_where_it_isnt_defined(x):
    assert np.isnan(spearman(np.array(x), np.arange(len(x), dtype=float)))


def test_a_correlation_of_a_draw_is_near_that_of_all_rows(rng):
    kept = np.zeros(20_000, KEPT)
    score = rng.normal(size=20_000)
    kept["length"], kept["loss"], kept["zlib_ratio"] = score + rng.normal(size=20_000), -score, np.nan
    groups = [np.arange(15_000), np.arange(15_000, 20_000)]
    whole, drawn = (correlate(score, kept, groups, max_rows=n) for n in (20_000, 2_000))
    assert [correlation.baseline for correlation in drawn] == ["length", "loss"]
    assert drawn[0].n_rows.tolist() == [15_000, 5_000]
    assert whole[0].pooled != drawn[0].pooled == pytest.approx(whole[0].pooled, abs=0.05)
    np.testing.assert_allclose(drawn[0].within, whole[0].within, atol=0.05)
    np.testing.assert_allclose(drawn[1].within, -1)


def test_by_domain_splits_rows_in_order():
    groups = by_domain(np.array([2, 0, 2, 0, 2]), 4)
    assert [group.tolist() for group in groups] == [[1, 3], [], [0, 2, 4], []]


def test_quantiles_equal_numpys_and_are_nan_for_an_empty_group(rng):
    values = rng.normal(size=50).astype("f4")
    values[3] = np.nan
    groups = [np.arange(10), np.arange(0), np.arange(10, 50)]
    table = quantiles(values, groups, (0.05, 0.5))
    np.testing.assert_allclose(table[0], np.nanquantile(values[:10].astype("f8"), [0.05, 0.5]))
    assert np.isnan(table[1]).all()
    assert medians(values, groups)[2] == pytest.approx(np.median(values[10:]), rel=1e-6)


def test_duplicate_fraction_counts_later_copies():
    assert duplicate_fraction(np.array([5, 5, 5, 7])) == 0.5
    assert duplicate_fraction(np.array([], np.int64)) == 0.0


def test_density_peaks_where_the_values_are_and_is_scaled_to_one(rng):
    heights = density(rng.normal(0.25, 0.02, 2000), low=0.0, high=1.0)
    assert heights.max() == 1.0
    assert abs((heights.argmax() + 0.5) / len(heights) - 0.25) < 0.02
    assert heights[len(heights) // 2 :].max() < 1e-6


def test_density_equals_scipys_kernel_estimate(rng):
    values = rng.normal(0.5, 0.1, 3000)
    points = (np.arange(160) + 0.5) / 160
    quartiles = np.quantile(values, [0.25, 0.75])
    width = 0.9 * min(values.std(), (quartiles[1] - quartiles[0]) / 1.34) * len(values) ** -0.2
    kernel = np.exp(-0.5 * ((points[:, None] - values[None, :]) / width) ** 2).sum(axis=1)
    np.testing.assert_allclose(density(values, low=0.0, high=1.0), kernel / kernel.max(), atol=0.02)


@pytest.mark.parametrize("values", [[], [np.nan], [0.3], [0.3] * 9])
def test_density_of_next_to_nothing_is_finite(values):
    heights = density(np.array(values, float), low=0.0, high=1.0)
    assert np.isfinite(heights).all()
    assert heights.max() == (1.0 if np.isfinite(values).any() else 0.0)


def test_scatter_sample_is_bounded_fair_and_seeded():
    groups = [np.arange(5), np.arange(5, 1000), np.arange(1000, 9000)]
    sample = scatter_sample(groups, n_points=300, seed=1)
    assert [len(rows) for rows in sample] == [5, 100, 100]
    again = scatter_sample(groups, n_points=300, seed=1)
    assert all((a == b).all() for a, b in zip(sample, again, strict=True))
    assert all(np.isin(rows, group).all() for rows, group in zip(sample, groups, strict=True))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 29, 30, 31, 500])
def test_extremes_are_the_ends_and_the_middle_and_share_no_row(n, rng):
    score = rng.permutation(n).astype(float)
    found = extremes(score, np.arange(n), 10)
    rows = np.concatenate(list(found.values()))
    assert len(np.unique(rows)) == len(rows)
    in_order = [score[found[kind]].tolist() for kind in ("highest", "median", "lowest")]
    assert score[rows].tolist() == sorted(score[rows], reverse=True)
    if n >= 30:
        assert in_order[0] == [n - 1.0 - i for i in range(10)]
        assert in_order[2] == [9.0 - i for i in range(10)]
        assert abs(np.median(in_order[1]) - (n - 1) / 2) <= 1


def test_extremes_leave_rows_without_a_score_out():
    score = np.array([np.nan, 1.0, np.nan, 3.0, 2.0])
    assert extremes(score, np.arange(5), 1)["highest"].tolist() == [3]
    assert extremes(score, np.arange(5), 1)["lowest"].tolist() == [1]
