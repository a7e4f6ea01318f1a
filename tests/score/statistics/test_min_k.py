import numpy as np
import pytest

from raypipe.contracts.statistic import lowest_mean_by_document
from raypipe.score.statistics.min_k import MinK


def slow(log_p, lengths, fraction):
    found, start = [], 0
    for length in lengths:
        mine = sorted(log_p[start : start + length])
        start += length
        found.append(np.mean(mine[: max(1, int(fraction * length))]))
    return found


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 1.0])
def test_it_is_the_mean_of_the_lowest_as_a_loop_finds_them(fraction):
    rng = np.random.default_rng(0)
    lengths = np.array([1, 5, 40, 2, 10, 7])
    nll = rng.exponential(3, lengths.sum()).astype(np.float32)
    found = MinK(fraction)({"nll": nll}, lengths)
    np.testing.assert_allclose(found["min_k"], slow(-nll.astype(float), lengths, fraction), rtol=1e-12)


def test_all_tokens_give_the_negative_loss():
    nll, lengths = np.array([1, 3, 2, 0], np.float32), np.array([2, 2])
    found = MinK(1.0)({"nll": nll}, lengths)
    assert found["min_k"].tolist() == (-found["loss"]).tolist() == [-2.0, -1.0]


def test_two_documents_of_the_same_loss_are_told_apart_by_their_surprises():
    """What it is for: a text seen in training has no token that surprises, another of the same mean loss has a few."""
    even, surprised = np.full(10, 1.0, np.float32), np.r_[np.full(8, 0.25), 4.0, 4.0].astype(np.float32)
    found = MinK()({"nll": np.r_[even, surprised]}, np.array([10, 10]))
    assert found["loss"][0] == found["loss"][1]
    assert found["min_k"].tolist() == [-1.0, -4.0]


def test_a_share_of_ten_tokens_is_not_one_fewer_by_rounding():
    values = np.arange(10, dtype=np.float32)
    assert lowest_mean_by_document(values, np.array([10]), fraction=0.7).tolist() == [3.0]


def test_no_documents_give_no_scores_and_a_tie_is_no_matter():
    assert MinK()({"nll": np.zeros(0, np.float32)}, np.zeros(0, np.int64))["min_k"].shape == (0,)
    assert MinK()({"nll": np.ones(9, np.float32)}, np.array([9]))["min_k"].tolist() == [-1.0]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_of_none_or_more_than_all_is_refused(fraction):
    with pytest.raises(ValueError, match=r"fraction of min-k must be above 0 and at most 1, got"):
        MinK(fraction)
