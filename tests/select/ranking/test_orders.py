import numpy as np
import pytest

from raypipe.arrays.hashing import splitmix64
from raypipe.select.ranking.orders import AtRandom, Drawn, by_score, keys, longest, lowest_loss
from raypipe.select.ranking.ranks import Ranking
from raypipe.select.rows import Rows


def rows_with(score: np.ndarray, seed: int = 0) -> Rows:
    n = len(score)
    nothing = np.zeros(n, bool)
    return Rows(
        index=np.arange(n),
        domains=("web",),
        domain=np.zeros(n, np.int32),
        text_hash=splitmix64(np.arange(n, dtype=np.uint64) + np.uint64(10**6 * seed)).view(np.int64),
        n_tokens_total=np.arange(n, 0, -1),
        score=np.asarray(score, float),
        further={"loss": np.asarray(score, np.float32)},
        is_heldout=nothing,
        is_scored=~nothing,
        is_candidate=~nothing,
    )


def drawn_best(rows: Rows, *, temperature: float, seed: int) -> np.ndarray:
    """Rows by falling key of the draw."""
    ranking = Ranking(exact_rows=10_000)
    ranking.update(keys(rows, "web", order=by_score, seed=seed), rows.n_tokens_total)
    draw = Drawn({"web": ranking.result()}, by_score, temperature, seed)
    return np.argsort(draw(rows, "web"))[::-1]


def test_a_low_temperature_takes_the_best_rows_in_order(rng):
    rows = rows_with(rng.permutation(50))
    assert rows.score[drawn_best(rows, temperature=1e-4, seed=0)].tolist() == list(range(49, -1, -1))


def test_a_high_temperature_draws_evenly(rng):
    rows = rows_with(rng.standard_normal(4000))
    taken = drawn_best(rows, temperature=1e6, seed=0)[:2000]
    assert abs(rows.score[taken].mean()) < 0.1


def test_the_first_row_drawn_follows_the_stated_chances():
    rows, n_draws = rows_with(np.arange(5)), 4000
    first = [drawn_best(rows, temperature=0.5, seed=seed)[0] for seed in range(n_draws)]
    expected = (np.arange(1, 6) / 5) ** 2 / ((np.arange(1, 6) / 5) ** 2).sum()
    assert np.bincount(first, minlength=5) / n_draws == pytest.approx(expected, abs=4 * np.sqrt(0.25 / n_draws))


def test_a_seed_gives_its_draw_again_and_another_seed_another(rng):
    rows = rows_with(rng.standard_normal(100))
    first, again, other = (drawn_best(rows, temperature=1, seed=seed).tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_control_arms_take_the_longest_and_the_best_predicted_first():
    rows = rows_with(np.array([3.0, 1.0, 2.0]))
    assert np.argmax(longest(rows, "web")) == 0
    assert np.argmax(lowest_loss(rows, "web")) == 1


def test_ties_are_decided_by_seed_and_text_and_not_by_place(rng):
    rows = rows_with(np.zeros(200))
    shuffled = rng.permutation(200)
    order = np.argsort(keys(rows, "web", order=by_score, seed=0))
    moved = rows.take(shuffled)
    order_moved = np.argsort(keys(moved, "web", order=by_score, seed=0))
    assert rows.text_hash[order].tolist() == moved.text_hash[order_moved].tolist()
    assert order.tolist() != np.argsort(keys(rows, "web", order=by_score, seed=1)).tolist()


def test_the_random_arm_is_independent_of_ties_and_of_the_held_out_rows():
    rows = rows_with(np.zeros(5000))
    arm = AtRandom(0)(rows, "web")
    assert abs(np.corrcoef(arm, keys(rows, "web", order=by_score, seed=0).imag)[0, 1]) < 0.05
