import math

import numpy as np
import pytest

from raypipe.contracts.statistic import mean_by_document
from raypipe.score.statistics.influence import Influence
from raypipe.score.statistics.perplexity import Perplexity
from raypipe.score.text import repeated_lines, zlib_bytes

NLL = np.array([1.0, 3.0, 2.0, 0.0], dtype=np.float32)
LENGTHS = np.array([2, 1, 1])


def test_means_are_by_document():
    assert mean_by_document(NLL, LENGTHS).tolist() == [2.0, 2.0, 0.0]


def test_means_of_many_small_losses_do_not_lose_digits():
    values = np.full(3_000_000, 0.1, dtype=np.float32)
    assert mean_by_document(values, np.array([3_000_000]))[0] == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_influence_is_the_relative_rise_of_the_loss():
    found = Influence()({"nll": NLL, "nll_masked": NLL * 1.5}, LENGTHS)
    assert found["influence"][:2].tolist() == [0.5, 0.5]
    assert found["loss_masked"].tolist() == [3.0, 3.0, 0.0]


def test_influence_of_a_loss_of_nothing_is_null():
    assert math.isnan(Influence()({"nll": NLL, "nll_masked": NLL + 1}, LENGTHS)["influence"][2])


def test_perplexity_is_the_exponential_of_the_loss():
    assert Perplexity()({"nll": NLL}, LENGTHS)["perplexity"].tolist() == pytest.approx([math.e**2, math.e**2, 1.0])


def test_repetition_shows_in_both_text_statistics():
    assert repeated_lines("a\nb\n a \n\nb\n") == 0.5
    assert repeated_lines("a\nb\nc") == 0.0
    assert repeated_lines(" \n\n") == 0.0
    assert zlib_bytes(b"abc" * 500) < 75
    assert zlib_bytes(b"ab") > 2
