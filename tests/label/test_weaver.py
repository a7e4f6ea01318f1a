"""What Weaver finds in verifiers whose rates are known."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from raypipe.label.weaver import Weaver, best_of, scaled

N_QUERIES, K = 250, 8
QUERIES = np.repeat(np.arange(N_QUERIES), K)


def answers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth [n] of answers of which 40 % are right, and six verifiers on scales of their own."""
    rng = np.random.default_rng(seed)
    correct = rng.random(len(QUERIES)) < 0.4
    strength = np.array([2.0, 1.6, 1.4, 1.2, 1.0, 0.8])
    return correct, (correct[:, None] * strength + rng.normal(size=(len(QUERIES), 6))) * np.array([1, 9, 0.1, 3, 1, 50])


def fitted(correct: np.ndarray, scores: np.ndarray, n_queries: int = 20, **settings) -> Weaver:
    rows = np.arange(n_queries * K)
    return Weaver(**settings).fit(scores, QUERIES, rows, correct[rows])


def success(score: np.ndarray, correct: np.ndarray) -> float:
    return float(correct[best_of(score, QUERIES)].mean())


def test_it_picks_right_answers_more_often_than_the_best_verifier() -> None:
    correct, scores = answers(0)
    found = fitted(correct, scores).posterior(scores)
    assert ((found >= 0) & (found <= 1)).all()
    assert success(found, correct) > success(scores[:, 0], correct) > correct.mean() + 0.1


def test_rates_of_votes_are_recovered() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(5000) < 0.3
    right = rng.uniform(0.55, 0.95, (8, 2))
    votes = np.where(rng.random((5000, 8)) < right[:, truth.astype(int)].T, truth[:, None], ~truth[:, None])
    model = Weaver(thresholds=(0.5,), keeps=(0, 1), class_balance=0.3)
    model.fit(votes.astype(float), np.arange(5000), np.arange(50), truth[:50])
    assert abs(model.rates_ - right).mean() < 0.02


def test_constant_verifiers_are_filtered_and_others_kept() -> None:
    correct, scores = answers(2)
    more = np.column_stack([scores, np.ones(len(scores)), np.full(len(scores), np.nan), np.zeros(len(scores))])
    model = fitted(correct, more, thresholds=(0.5,), keeps=(0.1, 0.9))
    assert set(model.kept_) <= set(range(6))
    alone = fitted(correct, scores, thresholds=(0.5,), keeps=(0.1, 0.9))
    np.testing.assert_allclose(model.posterior(more), alone.posterior(scores))


def test_constants_and_coins_cost_at_most_a_point_where_they_are_filtered() -> None:
    correct, scores = answers(5)
    rng = np.random.default_rng(6)
    constant = np.column_stack([np.ones(len(scores)), np.zeros(len(scores)), np.full(len(scores), 7.0)])
    noisy = np.column_stack([scores, constant, rng.random((len(scores), 2)) < 0.5])
    alone, beside = (fitted(correct, each, thresholds=(0.5,)) for each in (scores, noisy))
    assert set(beside.kept_) == {*alone.kept_, 9, 10}  # coins are often enough heads; no rate says anything of them
    np.testing.assert_allclose(beside.rates_[-2:].sum(axis=1), 1, atol=0.1)
    assert accuracy(beside.posterior(noisy), correct) > accuracy(alone.posterior(scores), correct) - 0.01


def accuracy(posterior: np.ndarray, correct: np.ndarray) -> float:
    return float(((posterior > 0.5) == correct).mean())


@pytest.mark.parametrize(("balance", "kept"), [(0.5, [1, 2, 3]), (0.1, [0, 1, 2, 3]), (0.9, [1, 2, 3, 4])])
def test_the_filter_is_that_of_the_paper(balance, kept) -> None:
    votes = (np.arange(1000)[:, None] < np.array([50, 300, 500, 700, 950])).astype(np.int8)
    model = Weaver()
    model.class_balance_ = balance
    assert model._kept(votes).tolist() == kept


def test_scores_are_scaled_over_all_answers_and_missing_ones_are_the_lowest() -> None:
    scores = np.array([[1.0, 5.0], [3.0, np.nan], [2.0, 5.0]])
    np.testing.assert_allclose(scaled(scores, np.nanmin(scores, axis=0), np.nanmax(scores, axis=0))[:, 0], [0, 1, 0.5])
    np.testing.assert_allclose(scaled(scores, np.array([1.0, 5.0]), np.array([3.0, 5.0]))[:, 1], 0)


def test_the_first_of_equals_is_picked() -> None:
    assert best_of(np.array([0.1, 0.7, 0.7, 0.2, 0.2]), np.array([1, 1, 1, 0, 0])).tolist() == [3, 1]


def test_the_same_rows_give_the_same() -> None:
    correct, scores = answers(3)
    one, other = (fitted(correct, scores, thresholds=(0.3, 0.6)).posterior(scores) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_bad_input_is_refused() -> None:
    correct, scores = answers(4)
    for wrong, said in (
        ((scores, QUERIES[:-1], np.arange(8), correct[:8]), "with a query each"),
        ((scores, QUERIES, np.arange(0), correct[:0]), "development set must have answers"),
        ((np.where(scores > 3, np.inf, scores), QUERIES, np.arange(8), correct[:8]), "must be finite"),
        ((scores[:, :2], QUERIES, np.arange(8), correct[:8]), "3 verifiers at least must give positive votes"),
    ):
        with pytest.raises(ValueError, match=said):
            Weaver(thresholds=(0.5,)).fit(*wrong)
    with pytest.raises(ValueError, match="as in fit"):
        fitted(correct, scores, thresholds=(0.5,)).posterior(scores[:, :5])
    with pytest.raises(NotFittedError):
        Weaver().posterior(scores)
