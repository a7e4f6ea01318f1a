"""What label models find in votes whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from raypipe.label.dawid_skene import DawidSkene
from raypipe.label.label_model import LabelModel, posterior
from raypipe.label.majority_vote import MajorityVote
from raypipe.label.matrix_completion import MatrixCompletion
from raypipe.label.moment_matching import MomentMatching
from raypipe.label.triplets import Triplets
from raypipe.label.weighted_vote import WeightedVote

BALANCE = (0.7, 0.3)
LEARNERS = (MomentMatching, Triplets, DawidSkene)


def planted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weaver's simulation: 5,000 rows, 8 voters right on each class with .55 to .95, 30 % positive."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(5000) < 0.3).astype(int)
    right = rng.uniform(0.55, 0.95, (8, 2))
    correct = rng.random((5000, 8)) < right[:, truth].T
    return np.where(correct, truth[:, None], 1 - truth[:, None]), truth, right


def accuracy(model: LabelModel, votes: np.ndarray, truth: np.ndarray) -> float:
    return float((model.fit(votes).predict(votes) == truth).mean())


@pytest.mark.parametrize("seed", range(3))
def test_planted_accuracies_are_recovered(seed: int) -> None:
    votes, _, right = planted(seed)
    moments, tables = MomentMatching(class_balance=BALANCE).fit(votes), DawidSkene().fit(votes)
    for found in (moments.answers_, tables.confusion_):
        assert abs(found[:, [0, 1], [0, 1]] - right).mean() < 0.02
    assert moments.misfit_[1] < 0.05 * moments.misfit_[0]
    assert abs(tables.prior_ - BALANCE).max() < 0.03
    mean = right @ BALANCE  # triplets know one accuracy of each
    assert abs(Triplets().fit(votes).accuracy_ - mean).mean() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_they_come_near_the_true_posterior_and_never_fall_below_the_vote(seed: int) -> None:
    votes, truth, right = planted(seed)
    likelihood = np.stack([np.where(votes == c, right[:, c], 1 - right[:, c]) for c in (0, 1)], axis=2)
    best = float((posterior(np.log(likelihood).sum(axis=1), np.array(BALANCE)).argmax(axis=1) == truth).mean())
    vote = accuracy(MajorityVote(), votes, truth)
    assert best > vote + 0.002
    for model in (MomentMatching(class_balance=BALANCE), DawidSkene()):  # one accuracy a function isn't enough here
        assert accuracy(model, votes, truth) > max(vote, best - 0.003)


def test_ten_functions_that_often_abstain() -> None:
    rng = np.random.default_rng(3)
    truth, right = rng.integers(0, 2, 5000), np.linspace(0.55, 0.9, 10)
    votes = np.where(rng.random((5000, 10)) < right, truth[:, None], 1 - truth[:, None])
    votes[rng.random(votes.shape) < 0.3] = -1
    vote = accuracy(MajorityVote(), votes, truth)
    for kind in LEARNERS:
        assert accuracy(kind(), votes, truth) > vote + 0.01
    assert accuracy(WeightedVote(), votes, truth) > vote
    assert abs(Triplets().fit(votes).accuracy_ - right).max() < 0.05


def test_classes_that_only_one_function_each_knows_need_the_abstentions() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 3000)
    votes = np.full((3000, 9), -1)
    for j in range(9):  # function j says j % 3 or nothing
        speaks = rng.random(3000) < np.where(truth == j % 3, 0.6, 0.1)
        votes[speaks, j] = j % 3
    covered = (votes >= 0).any(axis=1)
    found = {
        uses: (DawidSkene(n_classes=3, uses_abstentions=uses).fit(votes).predict(votes) == truth)[covered].mean()
        for uses in (True, False)
    }
    assert found[True] > 0.8 > 0.7 > found[False]
    assert (MomentMatching(n_classes=3).fit(votes).predict(votes) == truth)[covered].mean() > 0.8


def test_dawid_skene_is_crowd_kit_s_after_as_many_steps() -> None:
    """Theirs ends when its bound, which counts the prior once a vote, falls; hence steps instead of a tolerance."""
    theirs = json.loads((Path(__file__).parent / "fixtures/crowd_kit.json").read_text())
    model = DawidSkene(n_classes=3, max_iterations=theirs["iterations"], tolerance=-np.inf).fit(theirs["votes"])
    np.testing.assert_allclose(model.predict_proba(theirs["votes"]), theirs["probabilities"], atol=1e-6)


def test_two_functions_are_too_few_for_triplets() -> None:
    with pytest.raises(ValueError, match=r"three labelling functions at least, got 2; use majority_vote"):
        Triplets().fit([[0, 1], [1, 1]])


def test_matrix_completion_finds_planted_rates_where_functions_depend_on_the_class_alone() -> None:
    votes, _, right = planted(0)
    model = MatrixCompletion(class_balance=BALANCE, n_steps=3000).fit(votes)
    assert abs(model.answers_[:, [0, 1], [0, 1]] - right).mean() < 0.02
    assert model.misfit_[1] < 0.05 * model.misfit_[0]


def test_matrix_completion_hears_nothing_in_silence() -> None:
    """Function 0 speaks of class 1 alone, so its silence tells; a row with one other vote has that one's answer."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 2000)
    votes = np.where(rng.random((2000, 3)) < 0.8, truth[:, None], 1 - truth[:, None])
    votes[:, 0] = np.where((truth == 1) & (rng.random(2000) < 0.9), 1, -1)
    model = MatrixCompletion().fit(votes)
    alone, beside = model.predict_proba([[-1, 1, -1]])[0], model.answers_[1, 1]
    np.testing.assert_allclose(alone, beside / beside.sum())


def test_matrix_completion_refuses_steps_that_lead_away() -> None:
    with pytest.raises(ValueError, match=r"the misfit must not grow, and went from .* lower learning_rate 5\.0"):
        MatrixCompletion(learning_rate=5.0).fit(planted(0)[0])
    with pytest.raises(ValueError, match="start must be a share of right votes"):
        MatrixCompletion(start=0.0).fit([[0, 1], [1, 1]])
