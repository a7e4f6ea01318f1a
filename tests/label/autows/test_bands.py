"""Learned rules as bounds of a number: they vote as the rules do, wherever the number lies."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from raypipe.label.autows.bands import Bounds, bounds_of
from raypipe.label.autows.heuristics import BANDS, FeatureModels
from raypipe.label.autows.rules import Rules
from raypipe.label.functions.function import said
from raypipe.label.functions.learned import Learned
from raypipe.label.votes import ABSTAIN

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, 60)
X = RNG.normal(size=(60, 5)) + Y[:, None] * np.array([3, -3, 1, 0, 0])
X[:, 4] = 1.0  # a feature that tells nothing


def votes_by(bounds: Bounds, x: np.ndarray) -> np.ndarray:
    found = np.full(len(x), ABSTAIN)
    if bounds.at_most is not None:
        found[x <= bounds.at_most] = bounds.below
    if bounds.at_least is not None:
        found[x >= bounds.at_least] = bounds.above
    return found


@pytest.mark.parametrize("y", [Y, np.arange(60) == 0, np.arange(60) > 0], ids=["half", "few", "many"])
def test_bounds_vote_as_the_rule(y: np.ndarray) -> None:
    made = FeatureModels.fit(X, y.astype(int))
    asked = np.concatenate([X, 3 * RNG.normal(size=(500, 5)), np.tile(made.threshold, (1, 1))])
    n_voting = 0
    for number in range(10):
        for band in (BANDS[0], BANDS[-1]):
            rule = Rules((made,), (number,), (float(band),))
            expected, found = rule.votes(asked)[:, 0], bounds_of(rule)
            n_voting += len(found)
            if not found:
                assert (expected == ABSTAIN).all()
                continue
            np.testing.assert_array_equal(votes_by(found[0], asked[:, found[0].entry]), expected)
    assert n_voting > 5


def test_a_rule_that_was_learned_twice_is_written_once() -> None:
    made = FeatureModels.fit(X, Y)
    assert len(bounds_of(Rules((made, made), (0, 0), (0.25, 0.25)))) == 1


def test_a_function_votes_by_its_bounds_of_a_number_or_of_an_entry() -> None:
    rows = pa.table(
        {"n": [1.0, 5.0, None, float("nan"), 3.0], "v": [[0.0, 9.0], [0.0, 1.0], None, [1.0, None], [2.0, 5.0]]}
    )
    of_number = Learned("a", "n", above="x", at_least=5.0, below="y", at_most=1.0)
    assert said(of_number, rows).classes == ["y", "x", None, None, None]
    of_entry = Learned("b", "v", entry=1, above="x", at_least=5.0)
    assert said(of_entry, rows).classes == ["x", None, None, None, "x"]
    assert (of_number.vote, of_entry.vote) == (None, "x")
    assert "below the 2 of the vectors of v, got 2" in said(dataclasses.replace(of_entry, entry=2), rows).failed[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"at_least": None}, "above goes with at_least"),
        ({"above": None, "at_least": None, "below": None, "at_most": None}, "got none"),
        ({"at_most": 5.0}, "at_most must be below at_least"),
        ({"entry": -1}, "entry must be a number of the vector from 0 on, got -1"),
    ],
)
def test_a_function_that_can_t_be_is_refused(changes: dict, why: str) -> None:
    whole = Learned("a", "n", above="x", at_least=5.0, below="y", at_most=1.0)
    whole.check()
    with pytest.raises(ValueError, match=why):
        dataclasses.replace(whole, **changes).check()
