import numpy as np

from raypipe.arrays.hashing import splitmix64, uniform


def test_splitmix64_gives_the_published_sequence():
    # The first outputs of the reference generator with state 1234567: it mixes 1234567, then that + the golden gamma.
    states = np.array([1234567, (1234567 + 0x9E3779B97F4A7C15) % 2**64], dtype=np.uint64)
    assert splitmix64(states).tolist() == [6457827717110365317, 3203168211198807973]


def test_numbers_stay_the_same_for_ever():
    found = uniform(np.array([0, 1, -1, 2**62]), seed=0, purpose="holdout")
    assert found.tolist() == [0.8629005329451904, 0.9032558795043, 0.8992464206789981, 0.8445454603708392]


def test_numbers_are_uniform_and_below_one():
    found = uniform(np.arange(100_000), seed=1, purpose="ties")
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    assert counts.sum() == 100_000
    assert abs(counts - 5000).max() < 5 * np.sqrt(5000)


def test_seeds_and_purposes_are_independent():
    hashes = np.arange(20_000)
    first = uniform(hashes, seed=0, purpose="ties")
    for seed, purpose in ((1, "ties"), (0, "holdout")):
        assert abs(np.corrcoef(first, uniform(hashes, seed=seed, purpose=purpose))[0, 1]) < 0.03
