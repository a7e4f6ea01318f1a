"""Halves, test rows and exchanges."""

import numpy as np
import pytest

from raypipe.train.data.splits import exchanged, sample_rows, split_halves

KEYS = np.random.default_rng(0).integers(-(2**62), 2**62, 4000)


def test_the_parts_are_disjoint_and_whole_and_of_their_size():
    halves = split_halves(KEYS, seed=0, test_share=0.2)
    every = np.concatenate([halves.first, halves.second, halves.test])
    assert sorted(every) == list(range(len(KEYS)))
    assert len(halves.test) == pytest.approx(800, abs=100)  # four standard deviations
    assert len(halves.first) == pytest.approx(len(halves.second), abs=230)


def test_a_seed_fixes_the_halves_and_no_seed_changes_the_test():
    one, again, other = (split_halves(KEYS, seed=seed, test_share=0.2) for seed in (1, 1, 2))
    assert np.array_equal(one.first, again.first)
    assert np.array_equal(one.test, other.test)
    shared = len(np.intersect1d(one.first, other.first)) / len(one.first)
    assert shared == pytest.approx(0.5, abs=0.06)


def test_copies_of_a_text_are_in_the_same_part_and_new_rows_move_none():
    twice = split_halves(np.concatenate([KEYS, KEYS]), seed=0, test_share=0.2)
    for part in (twice.first, twice.second, twice.test):
        assert np.array_equal(part[part < len(KEYS)], part[part >= len(KEYS)] - len(KEYS))
    fewer = split_halves(KEYS[:1000], seed=0, test_share=0.2)
    assert np.array_equal(fewer.test, twice.test[twice.test < 1000])


@pytest.mark.parametrize(
    ("n", "share", "message"),
    [(4000, 0.0, "test_share must be above 0 .* got 0.0"), (4000, 1.0, "below 1"), (3, 0.3, "at least 2 rows each")],
)
def test_a_split_that_leaves_nothing_is_refused(n, share, message):
    with pytest.raises(ValueError, match=message):
        split_halves(KEYS[:n], seed=0, test_share=share)


@pytest.mark.parametrize("n", [2, 3, 101])
def test_every_row_gets_another_one_and_each_is_given_once(n):
    partner = exchanged(KEYS[:n], seed=3)
    assert sorted(partner) == list(range(n))
    assert (partner != np.arange(n)).all()
    assert np.array_equal(partner, exchanged(KEYS[:n], seed=3))
    with pytest.raises(ValueError, match="at least 2, got 1"):
        exchanged(KEYS[:1], seed=3)


def test_a_row_whose_text_stands_twice_gets_another_text():
    """Its copy's label would be the right one: no control at all."""
    twice = np.concatenate([KEYS[:50], KEYS[:30], KEYS[:10]])
    partner = exchanged(twice, seed=3)
    assert sorted(partner) == list(range(len(twice)))
    assert (twice[partner] != twice).all()


def test_a_sample_is_part_of_every_larger_one():
    small, large = sample_rows(KEYS, 100), sample_rows(KEYS, 500)
    assert len(small) == 100
    assert set(small) < set(large)
    assert np.array_equal(sample_rows(KEYS[:50], 100), np.arange(50))
