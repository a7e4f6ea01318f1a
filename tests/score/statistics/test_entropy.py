import numpy as np
import pytest
from scipy.stats import entropy

from raypipe.score.statistics.entropy import Entropy
from tests.score.statistics.test_min_k_plus_plus import from_logits


def test_it_is_the_mean_of_the_distributions_entropies():
    logits = np.random.default_rng(1).normal(0, 2, (10, 20))
    right = entropy(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), axis=1)
    found = Entropy()(from_logits(logits, np.arange(10)), np.array([4, 6]))
    np.testing.assert_allclose(found["entropy"], [right[:4].mean(), right[4:].mean()])


def test_it_is_0_of_what_is_certain_and_the_log_of_the_number_where_all_is_alike():
    certain = np.where(np.arange(20) == 3, 0.0, -1e9)[None]
    found = Entropy()(from_logits(np.concatenate([certain, np.zeros((1, 20))]), [3, 3]), np.array([1, 1]))["entropy"]
    assert found == pytest.approx([0.0, np.log(20)])


def test_it_doesnt_look_at_what_came():
    """Where it differs from the loss: an unlikely token after a sure prediction costs loss alone."""
    logits = np.where(np.arange(20) == 3, 5.0, 0.0)[None]
    likely, unlikely = (Entropy()(from_logits(logits, [token]), np.array([1])) for token in (3, 4))
    assert likely["entropy"] == unlikely["entropy"]
    assert unlikely["loss"][0] - likely["loss"][0] == pytest.approx(5.0)
