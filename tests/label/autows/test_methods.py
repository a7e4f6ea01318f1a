"""Snuba, IWS and GOGGLES on made rows: better than chance, the same again, and what they refuse."""

from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_digits

from raypipe.label.autows.goggles import goggles
from raypipe.label.autows.iws import iws
from raypipe.label.autows.rules import PoolLabels, marginals, one_against_rest
from raypipe.label.autows.snuba import FIRST, snuba
from raypipe.label.votes import ABSTAIN

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 400)
CENTRES = RNG.normal(size=(3, 12))
X = 1.1 * CENTRES[Y] + RNG.normal(size=(400, 12))
KNOWN = np.arange(400) < 100
METHODS = {
    "snuba": lambda X, y, pool, k: one_against_rest(snuba, X, y, pool, n_classes=k),
    "iws": lambda X, y, pool, k: one_against_rest(partial(iws, random_state=1), X, y, pool, n_classes=k),
    "goggles": lambda X, y, pool, k: goggles(X, y, pool, n_classes=k, random_state=1),
}


def right(found: PoolLabels, y: np.ndarray) -> np.ndarray:
    return found.probability.argmax(axis=1) == y


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("k", [2, 3])
def test_rows_get_their_classes(name: str, k: int) -> None:
    rows = np.isin(Y, range(k))
    found = METHODS[name](X[KNOWN & rows], Y[KNOWN & rows], X[~KNOWN & rows], k)
    assert right(found, Y[~KNOWN & rows])[found.covered].mean() > 1 / k + 0.25
    assert found.covered.mean() > 0.5
    np.testing.assert_allclose(found.probability.sum(axis=1), 1)


@pytest.mark.parametrize("name", ["snuba", "iws"])
def test_votes_for_the_rest_are_no_votes_for_a_class(name: str) -> None:
    digits, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    known, rest = order[:100], order[100:900]
    found = METHODS[name](digits[known], y[known], digits[rest], 10)
    assert found.covered.mean() < 0.8  # a run without a good rule for its class says nothing
    assert right(found, y[rest])[found.covered].mean() > 0.3
    np.testing.assert_allclose(found.probability[~found.covered], 0.1)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_gives_the_same(name: str) -> None:
    one, other = (METHODS[name](X[KNOWN], Y[KNOWN], X[~KNOWN], 3) for _ in "ab")
    np.testing.assert_array_equal(one.probability, other.probability)


@pytest.mark.parametrize("name", ["snuba", "iws"])  # groups of GOGGLES are made without labels, and few name them
def test_shuffled_labels_teach_nothing(name: str) -> None:
    found = METHODS[name](X[KNOWN], np.random.default_rng(3).permutation(Y[KNOWN]), X[~KNOWN], 3)
    assert right(found, Y[~KNOWN]).mean() < 0.55


def test_coverage_of_snuba_grows_with_rounds() -> None:
    rows = Y < 2
    covered = []
    for rounds in (1, 2, 4, 8):
        rules = snuba(X[KNOWN & rows], Y[KNOWN & rows], X[~KNOWN & rows], max_rounds=rounds)
        assert FIRST <= len(rules.numbers) <= FIRST + rounds - 1
        covered.append((rules.votes(X[~KNOWN & rows]) != ABSTAIN).any(axis=1).mean())
    assert covered == sorted(covered)


def test_rules_that_never_vote_cover_nothing() -> None:
    rules = snuba(X[:4] * 0, np.array([0, 1, 0, 1]), X * 0)
    found, covered = marginals(rules, X * 0, X * 0)
    assert not covered.any()
    assert (found == 0.5).all()


def test_a_class_without_a_label_and_an_empty_graph_are_refused() -> None:
    with pytest.raises(ValueError, match="must have a labelled row, got rows of 2 of 3"):
        one_against_rest(snuba, X[:2], np.array([0, 1]), X, n_classes=3)
    with pytest.raises(ValueError, match="affinities need 3 labelled rows and vectors other than 0"):
        goggles(X * 0, Y, X, n_classes=3)
