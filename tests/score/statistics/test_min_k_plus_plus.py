import numpy as np
import pytest
import torch

from raypipe.lm import loss
from raypipe.lm.loss import token_log_probs
from raypipe.score.statistics.min_k_plus_plus import MinKPlusPlus


def from_logits(logits, targets):
    """The quantities of positions with these logits, by a plain loop in float64."""
    log_p = torch.log_softmax(torch.tensor(logits, dtype=torch.float64), dim=-1).numpy()
    nll, mean, std = [], [], []
    for row, target in zip(log_p, targets, strict=True):
        mu = sum(np.exp(x) * x for x in row)
        nll.append(-row[target])
        mean.append(mu)
        std.append(np.sqrt(sum(np.exp(x) * x * x for x in row) - mu * mu))
    return {"nll": np.array(nll), "log_prob_mean": np.array(mean), "log_prob_std": np.array(std)}


def test_moments_over_the_vocabulary_are_those_of_a_loop_chunk_by_chunk(monkeypatch):
    rng = np.random.default_rng(0)
    hidden, head = rng.normal(size=(50, 16)).astype(np.float32), rng.normal(size=(300, 16)).astype(np.float32)
    targets = rng.integers(0, 300, 50)
    monkeypatch.setitem(loss.CHUNK_BYTES, "cpu", 4 * loss.LOG_PROB_COPIES * 300 * 7)
    found = token_log_probs(torch.from_numpy(hidden), torch.from_numpy(head), torch.from_numpy(targets))
    expected = from_logits(hidden.astype(np.float64) @ head.T, targets)
    for ours, name in zip(found, ("nll", "log_prob_mean", "log_prob_std"), strict=True):
        assert ours.dtype == torch.float32
        np.testing.assert_allclose(ours.numpy(), expected[name], rtol=1e-4, atol=1e-5)


def test_it_is_the_mean_of_the_lowest_normalised_log_probabilities():
    quantities = from_logits(np.random.default_rng(1).normal(0, 2, (10, 20)), np.arange(10))
    z = (-quantities["nll"] - quantities["log_prob_mean"]) / quantities["log_prob_std"]
    found = MinKPlusPlus(0.5)(quantities, np.array([4, 6]))["min_k_plus_plus"]
    np.testing.assert_allclose(found, [np.sort(z[:4])[:2].mean(), np.sort(z[4:])[:3].mean()])


def test_a_token_at_the_mode_of_a_flat_distribution_counts_for_more_than_an_unlikely_one_of_a_peaked_one():
    """What it adds to min-k: the same log-probability, but here the model could hardly have expected more."""
    flat = np.log(np.array([0.02] + [0.98 / 99] * 99))
    peaked = np.log(np.array([0.02, 0.96] + [0.02 / 98] * 98))
    quantities = from_logits(np.stack([flat, peaked]), [0, 0])
    assert quantities["nll"][0] == pytest.approx(quantities["nll"][1])
    found = MinKPlusPlus()(quantities, np.array([1, 1]))["min_k_plus_plus"]
    assert found[0] > 0 > found[1]


def test_a_model_that_is_certain_gives_a_number():
    certain = {"nll": np.zeros(2), "log_prob_mean": np.zeros(2), "log_prob_std": np.zeros(2)}
    assert MinKPlusPlus()(certain, np.array([2]))["min_k_plus_plus"].tolist() == [0.0]


def test_no_positions_have_no_moments():
    found = token_log_probs(torch.zeros(0, 4), torch.ones(9, 4), torch.zeros(0, dtype=torch.long))
    assert [values.shape for values in found] == [(0,)] * 3


def test_a_share_of_none_is_refused():
    with pytest.raises(ValueError, match="above 0 and at most 1, got 0"):
        MinKPlusPlus(0)
