import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from raypipe.classify.open_set import SCORERS, OpenSetHead, energy, max_logit, max_probability
from raypipe.evaluate.auroc import auroc
from raypipe.evaluate.oscr import familiarity_threshold, oscr

SPLIT = [2, 4, 5, 9, 8, 3]
"""The first of the paper's splits of known digits."""
LOGITS = np.random.default_rng(0).normal(size=(50, 4))


@pytest.mark.parametrize("hidden", [0, 16])
@pytest.mark.parametrize("k", [2, 3])
def test_probabilities_are_scikit_learn_s(hidden, k):
    X, y = load_iris(return_X_y=True)
    X, y = X[y < k], y[y < k]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    alpha = 0.01
    ours = OpenSetHead(hidden=hidden, alpha=alpha, max_epochs=300).fit(X, y)
    theirs = (MLPClassifier((hidden,), alpha=alpha, max_iter=300, random_state=0) if hidden
              else LogisticRegression(C=1 / (alpha * len(X)), max_iter=300))  # fmt: skip
    np.testing.assert_allclose(ours.predict_proba(X), theirs.fit(Z, y).predict_proba(Z), atol=1e-9)


def test_a_constant_moves_the_largest_logit_and_the_energy_but_not_the_probability():
    np.testing.assert_allclose(max_logit(LOGITS + 3), max_logit(LOGITS) + 3)
    np.testing.assert_allclose(energy(LOGITS + 3), energy(LOGITS) + 3)
    np.testing.assert_allclose(max_probability(LOGITS + 3), max_probability(LOGITS))


def test_the_energy_is_a_smooth_maximum_and_ties_the_others_together():
    gap = energy(LOGITS) - max_logit(LOGITS)
    assert ((gap >= 0) & (gap <= np.log(4))).all()
    np.testing.assert_allclose(np.exp(max_logit(LOGITS) - energy(LOGITS)), max_probability(LOGITS))


@pytest.mark.parametrize("scorer", SCORERS)
def test_scores_are_those_of_pytorch_ood(scorer):
    stored = json.loads((Path(__file__).parent / "stored" / "pytorch_ood.json").read_text())
    ours = SCORERS[scorer](np.array(stored["logits"]))
    np.testing.assert_allclose(ours, -np.array(stored[scorer]), rtol=1e-12)  # there higher is less familiar


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order] / 16, y[order]


def test_unknown_digits_are_told_from_known_ones_by_each_scorer(digits):
    X, y = digits
    known = np.isin(y, SPLIT)
    cut = int(0.6 * known.sum())
    train, test = np.flatnonzero(known)[:cut], np.flatnonzero(known)[cut:]
    areas = {}
    for scorer in SCORERS:
        head = OpenSetHead(scorer=scorer, hidden=64, max_epochs=40).fit(X[train], y[train])
        scores = head.score_samples(X[test]), head.score_samples(X[~known])
        right = head.predict(X[test]) == y[test]
        areas[scorer] = auroc(np.concatenate(scores), np.arange(len(test) + (~known).sum()) < len(test)).auroc
        assert oscr(scores[0], right, scores[1]) <= right.mean()
    assert min(areas.values()) > 0.8
    assert max(areas.values()) - min(areas.values()) < 0.06


def test_familiarity_that_says_nothing_gives_a_half():
    rng = np.random.default_rng(0)
    scores, others = rng.normal(size=2000), rng.normal(size=2000)
    area = auroc(np.concatenate([scores, others]), np.arange(4000) < 2000).auroc
    assert area == pytest.approx(0.5, abs=0.02)
    assert oscr(scores, np.ones(2000, bool), scores) == pytest.approx(0.5)  # unknown rows are copies of the known


def test_a_threshold_keeps_the_share_of_known_rows_that_was_asked_for():
    scores = np.random.default_rng(0).permutation(np.arange(100.0))
    assert familiarity_threshold(scores) == 5
    assert (scores >= familiarity_threshold(scores, keep=0.8)).mean() == 0.8
    assert familiarity_threshold(scores, keep=1.0) == 0
    with pytest.raises(ValueError, match="keep must be in"):
        familiarity_threshold(scores, keep=0)


@pytest.mark.parametrize(
    ("settings", "said"), [({"hidden": -1}, "hidden must be at least 0"), ({"scorer": "logit"}, "got 128, 'logit'")]
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        OpenSetHead(**settings).fit(np.eye(4), [0, 1, 0, 1])


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="needs two classes at least, got 1 class: '7'"):
        OpenSetHead().fit(np.eye(3), [7, 7, 7])
