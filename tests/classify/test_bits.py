import numpy as np
import pytest

from raypipe.classify.bits import Draws, Thresholds, fires, packed, random_words, unpacked


@pytest.mark.parametrize("n_bits", [1, 63, 64, 65, 200])
def test_packing_and_unpacking_gives_the_bits_back(n_bits: int) -> None:
    bits = np.random.default_rng(0).random((7, n_bits)) < 0.5
    words = packed(bits)
    assert words.shape == (7, -(-n_bits // 64))
    assert (unpacked(words, n_bits) == bits).all()
    assert np.bitwise_count(words).sum() == bits.sum()


@pytest.mark.parametrize("probability", [0.0, 1 / 27, 0.2, 0.5, 1 / 1.3, 1.0])
def test_random_bits_are_ones_as_often_as_asked(probability: float) -> None:
    words = random_words(Draws(0), (50, 40), probability)
    n = 50 * 40 * 64
    share = np.bitwise_count(words).sum() / n
    assert abs(share - probability) < 4 * np.sqrt(probability * (1 - probability) / n) + 2**-12
    places = unpacked(words, 64 * 40).reshape(-1, 64).mean(axis=0)  # no place of a word is favoured
    assert np.ptp(places) < 0.1


def test_words_are_those_of_split_mix_64() -> None:
    assert Draws(0).words(1)[0] == 0xE220A8397B1DCDAF  # as published for the seed 0
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    draws = Draws(1234567)
    assert [*draws.words(2).tolist(), *draws.words(3).tolist()] == known
    numbers = draws.uniform(2000)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert abs(numbers.mean() - 0.5) < 0.03


def test_a_clause_fires_where_all_its_literals_are_there() -> None:
    rng = np.random.default_rng(1)
    include, rows = rng.random((30, 130)) < 0.02, rng.random((20, 130)) < 0.7
    slow = np.array([[not (clause & ~row).any() for clause in include] for row in rows])
    assert (np.array([fires(packed(include), row) for row in packed(rows)]) == slow).all()
    assert 0 < slow.mean() < 1
    assert fires(packed(np.zeros((1, 130), bool)), packed(rows[:1])[0]).all()


def test_two_values_are_one_bit_and_many_are_cut_at_quantiles() -> None:
    X = np.column_stack([[0, 1] * 50, np.arange(100), np.ones(100), np.repeat([0, 1, 2, 5], 25)]).astype(float)
    found = Thresholds.of(X, max_bits=4)
    assert found.column.tolist() == [0, 1, 1, 1, 1, 3, 3, 3]
    assert found.value.tolist() == [0, 19, 39, 59, 79, 0, 1, 2]
    bits = found.bits(X)
    assert (bits[:, 0] == X[:, 0].astype(bool)).all()
    assert bits[:, 1:5].mean(axis=0) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert found.chosen(np.array([0, 7])).value.tolist() == [0, 2]
