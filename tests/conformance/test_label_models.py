"""What every label model keeps to; each check catches one made wrong on purpose."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from raypipe.label.dawid_skene import DawidSkene
from raypipe.label.majority_vote import MajorityVote
from raypipe.models.fitted import open_fitted, save_fitted
from raypipe.storage.folder import Folder
from tests.conformance.finding import classes_with, head_of

MODELS = [
    kind
    for kind in classes_with("fit", "merge", "predict_proba", "state", "from_state")
    if "votes" in inspect.signature(kind.fit).parameters and kind.__name__ != "LabelModel"
]
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 400)
RIGHT = RNG.random((400, 6)) < np.array([0.9, 0.85, 0.8, 0.75, 0.7, 0.6])
VOTES = np.where(RIGHT, TRUTH[:, None], (TRUTH[:, None] + RNG.integers(1, 3, (400, 6))) % 3)
VOTES[RNG.random(VOTES.shape) < 0.3] = -1
VOTES[7] = -1


def made(kind: Any) -> Any:
    return kind(n_classes=3)


def stores_its_settings(kind: Any) -> None:
    assert clone(made(kind)).get_params() == made(kind).get_params()
    assert all(
        one.kind is one.KEYWORD_ONLY for one in inspect.signature(kind).parameters.values() if one.name != "self"
    )


def gives_probabilities(kind: Any) -> None:
    found = made(kind).fit(VOTES).predict_proba(VOTES)
    assert found.shape == (400, 3)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found.argmax(axis=1), made(kind).fit(VOTES).predict(VOTES))


def is_better_than_its_functions_are_on_average(kind: Any) -> None:
    covered = (VOTES >= 0).any(axis=1)
    found = made(kind).fit(VOTES).predict(VOTES)
    assert (found == TRUTH)[covered].mean() > 0.8  # the functions: 0.77 where they vote


def gives_a_row_without_votes_the_prior(kind: Any) -> None:
    fitted = kind(n_classes=3, class_balance=(0.5, 0.3, 0.2)).fit(VOTES)
    np.testing.assert_allclose(fitted.predict_proba(VOTES[7:8])[0], [0.5, 0.3, 0.2])


def is_the_same_for_any_cut(kind: Any) -> None:
    whole = made(kind).fit(VOTES).predict_proba(VOTES)
    for cut in ([1], [7, 8, 200], [399]):  # row 7 alone has no vote
        first, *others = (made(kind).partial_fit(part) for part in np.split(VOTES, cut))
        for other in others:
            first.merge(other)
        np.testing.assert_array_equal(first.predict_proba(VOTES), whole)
    one_by_one = made(kind).fit(VOTES[200:]).partial_fit(VOTES[:200])
    np.testing.assert_array_equal(one_by_one.predict_proba(VOTES), whole)


def is_the_same_from_its_state(kind: Any) -> None:
    fitted = made(kind).fit(VOTES[:300])
    state = load(save({name: np.ascontiguousarray(x) for name, x in fitted.state().items()}))
    again = made(kind).from_state(state)
    np.testing.assert_array_equal(again.predict_proba(VOTES), fitted.predict_proba(VOTES))
    np.testing.assert_array_equal(
        again.partial_fit(VOTES[300:]).predict_proba(VOTES), fitted.partial_fit(VOTES[300:]).predict_proba(VOTES)
    )
    with pytest.raises(NotFittedError):
        made(kind).state()


def refuses_what_is_no_vote(kind: Any) -> None:
    for bad, why in (
        (np.where(VOTES == 2, 3, VOTES), r"class of 0\.\.2.*got 3 by function"),
        (VOTES - 1, "got -2"),
        (VOTES[:, 0], r"must be \[rows, labelling functions\]"),
        (np.where(VOTES == 2, np.nan, VOTES), "whole numbers"),
        (np.full((5, 6), -1), "all of 5 rows have only abstentions"),
    ):
        with pytest.raises(ValueError, match=why):
            made(kind).fit(bad)
    with pytest.raises(ValueError, match="the 6 labelling functions of fit, got 5"):
        made(kind).fit(VOTES).predict(VOTES[:, :5])
    with pytest.raises(ValueError, match="n_classes must be 2 to 127"):
        kind(n_classes=1).fit(VOTES)
    with pytest.raises(ValueError, match="class_balance must give each of 3 classes"):
        kind(n_classes=3, class_balance=(0.5, 0.5)).fit(VOTES)


def has_a_card_at_the_head_of_its_file(kind: Any) -> None:
    assert "\nSource: " in head_of(kind)
    assert "\nCost: " in head_of(kind)


CHECKS = [
    stores_its_settings, gives_probabilities, is_better_than_its_functions_are_on_average,
    gives_a_row_without_votes_the_prior, is_the_same_for_any_cut, is_the_same_from_its_state, refuses_what_is_no_vote,
    has_a_card_at_the_head_of_its_file,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_a_label_model(kind: type, check: Callable[[Any], None]) -> None:
    check(kind)


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_a_folder_of_one_gives_it_back(kind: Any, tmp_path: Any) -> None:
    folder = Folder(str(tmp_path))
    fitted = made(kind).fit(VOTES)
    save_fitted(fitted, folder)
    np.testing.assert_array_equal(open_fitted(kind, folder).predict_proba(VOTES), fitted.predict_proba(VOTES))


def test_all_are_found() -> None:
    assert len(MODELS) >= 5
    assert DawidSkene in MODELS


class AnswersOtherwise(MajorityVote):
    def _answer(self, votes):
        return np.full((len(votes), self.n_classes), 1.0)


class KeepsTheFirst(MajorityVote):
    def merge(self, other):
        return self

    def _answer(self, votes):
        return super()._answer(votes) * 0 + 1 / self.seen_.n_rows


class ForgetsItsCounts(DawidSkene):
    def from_state(self, state):
        return super().from_state({**state, "confusion_": state["confusion_"][::-1]})


class TakesAnything(MajorityVote):
    def partial_fit(self, votes):
        return super().partial_fit(np.clip(np.nan_to_num(votes), -1, 2))


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (AnswersOtherwise, gives_probabilities),
        (AnswersOtherwise, is_better_than_its_functions_are_on_average),
        (KeepsTheFirst, is_the_same_for_any_cut),
        (ForgetsItsCounts, is_the_same_from_its_state),
        (AnswersOtherwise, has_a_card_at_the_head_of_its_file),
    ],
)
def test_a_wrong_one_is_caught(wrong: type, check: Callable[[Any], None]) -> None:
    with pytest.raises(AssertionError):
        check(wrong)


def test_one_that_takes_anything_is_caught() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refuses_what_is_no_vote(TakesAnything)
