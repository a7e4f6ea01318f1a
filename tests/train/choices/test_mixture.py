"""How often tasks are seen."""

import numpy as np
import pytest

from raypipe.train.choices.mixture import Mixture, task_counts


def test_proportional_mixing_is_every_example_once_an_epoch():
    mixture = Mixture(["a"] * 50 + ["b"] * 7 + ["c"], temperature=1.0, seed=0)
    for epoch in range(3):
        assert sorted(mixture(epoch)) == list(range(58))
    assert mixture(0).tolist() != mixture(1).tolist()
    assert mixture(1).tolist() == Mixture(["a"] * 50 + ["b"] * 7 + ["c"], temperature=1.0, seed=0)(1).tolist()
    assert mixture(0).tolist() != Mixture(["a"] * 50 + ["b"] * 7 + ["c"], temperature=1.0, seed=1)(0).tolist()


def test_temperature_gives_the_shares_of_the_source():
    n = np.array([900, 90, 10])
    assert task_counts(n, temperature=1.0).tolist() == [900, 90, 10]
    expected = 1000 * n**0.5 / (n**0.5).sum()
    assert np.abs(task_counts(n, temperature=2.0) - expected).max() <= 1
    assert task_counts(n, temperature=1e9).tolist() in ([334, 333, 333], [333, 334, 333], [333, 333, 334])
    assert task_counts(n, temperature=3.3).sum() == 1000
    assert task_counts(np.array([5, 0]), temperature=2.0).tolist() == [5, 0]


def test_examples_of_a_task_are_seen_equally_often_over_epochs():
    mixture = Mixture(["a"] * 40 + ["b"] * 5, temperature=4.0, seed=3)
    seen = np.bincount(np.concatenate([mixture(epoch) for epoch in range(7)]), minlength=45)
    assert seen.sum() == 7 * 45
    assert np.ptp(seen[:40]) <= 1
    assert np.ptp(seen[40:]) <= 1
    assert seen[40:].min() > 2 * seen[:40].max()


def test_a_temperature_below_one_is_refused():
    with pytest.raises(ValueError, match=r"task_temperature must be at least 1 .*got 0.5"):
        task_counts(np.array([1, 2]), temperature=0.5)
    with pytest.raises(ValueError, match="got nan"):
        task_counts(np.array([1, 2]), temperature=float("nan"))
