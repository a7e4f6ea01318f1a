import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from raypipe.select.ranking.adjust import RankRegression
from raypipe.select.ranking.rank_table import RankCounts, exact_table


def fitted(X: np.ndarray, y: np.ndarray):
    regression = RankRegression(X.shape[1])
    regression.update(X, y)
    return regression.result()


def test_the_fit_is_numpys_least_squares(rng):
    X, y = rng.random((500, 3)), rng.random(500)
    y = 0.3 * y + 0.7 * X[:, 1]
    fit = fitted(X, y)
    design = np.column_stack([np.ones(500), X])
    expected, rss = np.linalg.lstsq(design, y, rcond=None)[:2]
    assert [fit.intercept, *fit.coefficients] == pytest.approx(expected, abs=1e-5)
    assert fit.r_squared == pytest.approx(1 - rss[0] / ((y - y.mean()) ** 2).sum(), abs=1e-5)
    assert fit.residual(X, y) == pytest.approx(y - design @ expected, abs=1e-5)


@given(cuts=st.lists(st.integers(0, 60), max_size=4), backwards=st.booleans())
def test_parts_merged_in_any_order_give_the_same_bits(cuts, backwards):
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 2)), rng.random(60)
    parts = []
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), 60], strict=True):
        parts.append(RankRegression(2))
        parts[-1].update(X[start:stop], y[start:stop])
    whole = RankRegression(2)
    for part in reversed(parts) if backwards else parts:
        whole.merge(part)
    fit, expected = whole.result(), fitted(X, y)
    assert fit.coefficients.tolist() == expected.coefficients.tolist()
    assert (fit.intercept, fit.r_squared) == (expected.intercept, expected.r_squared)


def test_what_the_regressors_explain_is_gone_and_the_rest_is_kept(rng):
    loss, signal = rng.normal(size=4000), rng.normal(size=4000)
    score = np.exp(-2 * loss + signal)  # heavy-tailed, and mostly the loss
    ranks = [exact_table(values).rank(values) for values in (loss, score)]
    fit = fitted(ranks[0][:, None], ranks[1])
    residual = fit.residual(ranks[0][:, None], ranks[1])
    assert spearmanr(score, loss)[0] < -0.8
    assert 0.65 < fit.r_squared < 0.85
    assert abs(np.corrcoef(residual, ranks[0])[0, 1]) < 1e-4
    assert abs(spearmanr(residual, loss)[0]) < 0.1  # not 0: the residual is ranked once more
    assert spearmanr(residual, signal)[0] > 0.85


def test_constant_and_repeated_regressors_do_no_harm(rng):
    X, y = rng.random((200, 1)), rng.random(200)
    plain = fitted(X, y)
    odd = np.column_stack([X, X, np.full(200, 0.5)])
    assert fitted(odd, y).r_squared == pytest.approx(plain.r_squared)
    assert fitted(odd, y).residual(odd, y) == pytest.approx(plain.residual(X, y), abs=1e-6)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_no_rows_and_one_row_explain_nothing(n_rows):
    fit = fitted(np.full((n_rows, 2), 0.3), np.full(n_rows, 0.7))
    assert fit.r_squared == 0
    assert fit.coefficients.tolist() == [0, 0]


def test_two_residuals_move_against_each_other_by_no_more_than_is_stated(rng):
    loss, length = rng.normal(size=3000), rng.integers(2, 40, 3000).astype(float)
    score = np.exp(loss + 0.1 * length + rng.normal(size=3000))
    exact, sampled = [], []
    for values in (score, loss, length):
        counts = RankCounts(rng.choice(values, 200))
        counts.update(values)
        exact.append(exact_table(values))
        sampled.append(counts.result())
    residuals, bounds = [], []
    for y, *X in (exact, sampled):
        ranks = np.column_stack([table.rank(values) for table, values in zip(X, (loss, length), strict=True)])
        fit = fitted(ranks, y.rank(score))
        residuals.append(fit.residual(ranks, y.rank(score)))
        bounds.append(fit.most_moved(y, X))
    moved = residuals[1] - residuals[0]
    assert 0 < moved.max() - moved.min() <= bounds[1] < 0.5
    assert bounds[0] == 0


def test_regressors_that_errors_could_make_collinear_promise_nothing(rng):
    values = rng.normal(size=500)
    counts = RankCounts(values[:5])
    counts.update(values)
    table = counts.result()
    X = np.column_stack([table.rank(values), table.rank(values)])
    assert fitted(X, X[:, 0]).most_moved(table, [table, table]) == np.inf
