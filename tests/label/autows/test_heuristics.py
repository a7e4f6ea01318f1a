"""Stumps and regressions of single features are those of scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from raypipe.label.autows.heuristics import BANDS, FeatureModels, best_bands, votes_of, weighted_f1

RNG = np.random.default_rng(0)
Y = (RNG.random(80) < 0.4).astype(int)
X = RNG.normal(size=(80, 6)) + Y[:, None] * [0, 0.5, 1, 2, 4, 0]
X[:, 5] = 3.0  # says nothing


def test_stumps_split_where_a_tree_of_depth_one_does() -> None:
    found = FeatureModels.fit(X, Y).probability(X)[:, :6]
    for at in range(6):
        tree = DecisionTreeClassifier(max_depth=1).fit(X[:, [at]], Y)
        np.testing.assert_allclose(found[:, at], tree.predict_proba(X[:, [at]])[:, 1])


def test_regressions_are_those_of_one_scaled_feature() -> None:
    found = FeatureModels.fit(X, Y).probability(X)[:, 6:]
    for at in range(6):
        Z = StandardScaler().fit_transform(X[:, [at]])
        expected = LogisticRegression(tol=1e-8).fit(Z, Y).predict_proba(Z)[:, 1]
        np.testing.assert_allclose(found[:, at], expected, atol=1e-4)


def test_votes_abstain_within_the_band() -> None:
    p = np.array([[0.1], [0.25], [0.3], [0.5], [0.74], [0.75], [1.0]])
    assert votes_of(p, 0.25)[:, 0].tolist() == [0, 0, -1, -1, -1, 1, 1]


def test_the_best_band_has_the_highest_weighted_f1() -> None:
    p = FeatureModels.fit(X, Y).probability(X)
    bands = best_bands(p, Y)
    for at in range(p.shape[1]):
        scores = [f1_score(Y, votes_of(p[:, [at]], band)[:, 0], labels=[0, 1], average=None, zero_division=0)
                  @ [np.mean(Y == 0), np.mean(Y == 1)] for band in BANDS]  # fmt: skip
        assert bands[at] == BANDS[int(np.argmax(np.round(scores, 12)))]
        assert weighted_f1(votes_of(p[:, [at]], bands[at]), Y)[0] == pytest.approx(max(scores))
