"""Negatives of a ranking: the ranks that are asked for, below the margin, never what is relevant, drawn alike."""

from dataclasses import replace

import numpy as np
import pytest

from raypipe.retrieve.mining import NO_SCORE, NOT_FOUND, TOO_FEW, Mined, Mining, mine
from raypipe.retrieve.ranking import NONE, Ranked, first_k

N, DEPTH = 200, 60
PLAIN = Mining(n_negatives=3, first_rank=1, last_rank=DEPTH, margin=0.0, positive_within=None)


def scores() -> np.ndarray:
    return np.random.default_rng(0).random((5, N)).astype(np.float32)


def ranking() -> Ranked:
    return first_k(scores(), k=DEPTH)


def mined(settings: Mining, *, relevance: list[dict[int, float]] | None = None, seed: int = 0) -> Mined:
    """Each query's positive is the one that it ranks 4th."""
    ranked = ranking()
    pairs = np.stack([np.arange(5), ranked.documents[:, 3]], axis=1)
    known = relevance or [{int(of): 1.0} for of in pairs[:, 1]]
    return mine(ranked, ranked.scores, known, pairs, ranked.scores[:, 3], settings, seed=seed)


def ranks(found: Mined) -> list[list[int]]:
    place = [{int(of): at + 1 for at, of in enumerate(row)} for row in ranking().documents]
    return [[place[int(pair)][int(of)] for of in row] for pair, row in zip(found.pairs, found.negatives, strict=True)]


def test_negatives_are_of_the_ranks_that_are_asked_for_and_never_relevant():
    window = replace(PLAIN, first_rank=11, last_rank=20)
    found = ranks(mined(window))
    assert len(found) == 5
    assert all(11 <= rank <= 20 for row in found for rank in row)
    assert [sorted(row) for row in found] == found
    assert all(len(set(row)) == 3 for row in found)
    documents = ranking().documents
    forbidden = [{int(of): 1.0 for of in row[10:16]} for row in documents]
    assert all(17 <= rank <= 20 for row in ranks(mined(window, relevance=forbidden)) for rank in row)
    everything = [{int(of): 1.0 for of in row} for row in documents]
    assert mined(window, relevance=everything).dropped == {TOO_FEW: 5}


def test_what_scores_almost_as_high_as_the_positive_is_no_negative():
    found = mined(replace(PLAIN, n_negatives=30, margin=0.95))
    positive = ranking().scores[:, 3]
    assert (found.scores < 0.95 * positive[found.pairs][:, None]).all()
    without = mined(replace(PLAIN, n_negatives=30))
    assert (without.scores >= 0.95 * positive[:, None]).any()  # else the margin would do nothing here
    shifted = replace(ranking(), scores=ranking().scores - 2)
    pairs = np.stack([np.arange(5), shifted.documents[:, 3]], axis=1)
    of = mine(shifted, shifted.scores, [{}] * 5, pairs, shifted.scores[:, 3], replace(PLAIN, margin=0.95))
    assert of.dropped == {NO_SCORE: 5}  # a share of a negative score is above it


def test_a_pair_whose_positive_is_not_found_is_dropped():
    assert mined(replace(PLAIN, positive_within=3)).dropped == {NOT_FOUND: 5}
    assert len(mined(replace(PLAIN, positive_within=4)).pairs) == 5


def test_the_same_seed_draws_the_same_and_every_candidate_is_drawn_sometime():
    window = replace(PLAIN, first_rank=11, last_rank=20)
    np.testing.assert_array_equal(mined(window, seed=3).negatives, mined(window, seed=3).negatives)
    drawn = {rank for seed in range(30) for rank in ranks(mined(window, seed=seed))[0]}
    assert drawn == set(range(11, 21))


def test_a_short_ranking_gives_what_it_has():
    short = Ranked(np.array([[5, 6, 7, NONE]]), np.array([[3.0, 2.0, 1.0, -np.inf]], np.float32))
    settings = Mining(n_negatives=2, first_rank=1, last_rank=4, positive_within=None)
    found = mine(short, short.scores, [{5: 1.0}], np.array([[0, 5]]), np.array([3.0]), settings)
    assert found.negatives.tolist() == [[6, 7]]
    assert found.scores.tolist() == [[2.0, 1.0]]
    none = mine(short, short.scores, [{}], np.zeros((0, 2), np.int64), np.zeros(0), settings)
    assert none.negatives.shape == (0, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"first_rank": 0}, r"ranks from 1 to --depth \(60\), in order, got 0 and 60"),
        ({"last_rank": 61}, "in order, got 1 and 61"),
        ({"n_negatives": 61}, "n_negatives must be between 1 and the 60 ranks"),
        ({"margin": -0.1}, "margin must be at least 0, got -0.1"),
        ({"positive_within": 61}, r"positive_within must be between 1 and --depth \(60\), got 61"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(PLAIN, **changes).check(depth=DEPTH)


def test_scores_that_are_no_numbers_are_refused():
    ranked = ranking()
    with pytest.raises(ValueError, match="must be numbers, got NaN"):
        mine(ranked, ranked.scores, [{}] * 5, np.array([[0, 1]]), np.array([np.nan]), PLAIN)
