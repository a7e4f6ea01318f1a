import numpy as np
import pytest

from raypipe.classify.automata import Automata, steps
from raypipe.classify.bits import Draws, packed, random_words, unpacked


def states_of(automata: Automata, n: int) -> np.ndarray:
    """States [c, n] as numbers from 0 on."""
    digits = [unpacked(plane, n) for plane in automata.planes]
    return sum(digit.astype(int) << place for place, digit in enumerate(digits))


def slow_step(states, row, fired, drawn, kinds, top: int, boost: bool) -> np.ndarray:
    """Tables 2 and 3 of the paper, an automaton at a time: kind 1 or 2 of feedback for each clause."""
    states, half = states.copy(), (top + 1) // 2
    for clause, kind in enumerate(kinds):
        for literal in range(states.shape[1]):
            state = states[clause, literal]
            if kind == 1 and fired[clause] and row[literal]:
                state += boost or not drawn[clause, literal]
            elif kind == 1 and drawn[clause, literal]:
                state -= 1
            elif kind == 2 and fired[clause] and not row[literal] and state < half:
                state += 1
            states[clause, literal] = min(max(state, 0), top)
    return states


@pytest.mark.parametrize(("n", "state_bits", "boost"), [(5, 2, True), (64, 3, False), (70, 8, True)])
def test_given_the_same_random_bits_every_step_equals_a_slow_reference(n: int, state_bits: int, boost: bool) -> None:
    rng, draws = np.random.default_rng(0), Draws(0)
    automata = Automata(8, n, state_bits=state_bits, s=3.0, max_literals=None)
    slow = states_of(automata, n)
    assert (slow == 2 ** (state_bits - 1) - 1).all()
    for _ in range(60):
        row = rng.random(n) < 0.6
        kinds = np.array([1, 1, 1, 1, 2, 2, 0, 0])
        order = rng.permutation(8)
        include = slow >= 2 ** (state_bits - 1)
        fired = np.array([not (one & ~row).any() for one in include])
        first = order[kinds[order] == 1]
        second = np.array([clause for clause in order if kinds[clause] == 2 and fired[clause]], dtype=int)
        drawn_words = random_words(draws, (len(first), automata.planes.shape[2]), 0.4)
        words = packed(row[None])[0]
        up, down = steps(words, fired[first], drawn_words, automata.include[second], boost=boost)
        automata.step(np.concatenate([first, second]), up & automata.real, down & automata.real, draws)
        drawn = np.zeros((8, n), bool)
        drawn[first] = unpacked(drawn_words, n)
        slow = slow_step(slow, row, fired, drawn, kinds, 2**state_bits - 1, boost)
        assert (states_of(automata, n) == slow).all()
    assert len(np.unique(slow)) > 2
    assert (automata.planes & ~automata.real == 0).all()


def test_a_clause_never_has_more_literals_than_its_budget() -> None:
    rng, draws = np.random.default_rng(0), Draws(0)
    automata, rows = Automata(20, 100, state_bits=3, s=4.0, max_literals=5), packed(rng.random((300, 100)) < 0.8)
    sizes = []
    for row in rows:
        fired = ~(automata.include & ~row).any(axis=1)
        automata.feed_back(row, np.arange(10), fired[:10], 10 + np.flatnonzero(fired[10:]), draws)
        sizes.append(np.bitwise_count(automata.include).sum(axis=1))
    assert np.max(sizes) == 5
    assert (np.array(sizes)[-100:, :10] > 0).any()
