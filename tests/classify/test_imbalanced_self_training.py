"""Self-training on a long tail: weights by hand, what pseudo-labels do, the theorems' two Gaussians, bad input."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import SelfTrainingClassifier

from raypipe.classify.imbalanced_self_training import BETA, ImbalancedSelfTraining, class_weights, turned
from raypipe.classify.nearest_centroid import NearestCentroid
from tests.learning import SEED, require


def blobs(rng, counts, d=3, apart=2.0):
    y = np.repeat(np.arange(len(counts)), counts)
    return apart * np.eye(len(counts), d)[y] + rng.standard_normal((len(y), d)), y


def test_weights_are_one_on_average_and_inverse_to_rows_or_effective_numbers():
    at = np.repeat([0, 1, 3], [60, 30, 10])
    balanced = class_weights(at, 4, "balanced")
    np.testing.assert_allclose(balanced, [100 / 180, 100 / 90, 0, 100 / 30])
    effective = class_weights(at, 4, "effective")
    assert effective[at].mean() == pytest.approx(1)
    assert effective[3] / effective[0] == pytest.approx((1 - BETA**60) / (1 - BETA**10))
    assert class_weights(at, 4, "none").tolist() == [1, 1, 1, 1]


def test_one_round_is_scikit_learns_self_training_without_a_threshold():
    rng = np.random.default_rng(0)
    (X, y), (others, _) = blobs(rng, (60, 15)), blobs(rng, (80, 20))
    both = np.concatenate([X, others])
    mean, scale = both.mean(axis=0), both.std(axis=0)
    ours = ImbalancedSelfTraining(weighting="none").fit(X, y, X_unlabelled=others)
    theirs = SelfTrainingClassifier(LogisticRegression(max_iter=1000), threshold=0.0, max_iter=1)
    theirs.fit((both - mean) / scale, np.concatenate([y, np.full(len(others), -1)]))
    np.testing.assert_allclose(ours.predict_proba(others), theirs.predict_proba((others - mean) / scale), atol=1e-4)
    assert (ours.pseudo_labels_ == theirs.transduction_[len(X) :]).all()


def test_omega_0_and_no_rounds_are_the_teacher_alone():
    rng = np.random.default_rng(1)
    (X, y), (others, _) = blobs(rng, (40, 10, 5)), blobs(rng, (90, 9, 9))
    alone, idle, none = (
        ImbalancedSelfTraining(weighting="none", **settings).fit(X, y, X_unlabelled=others).predict_proba(X)
        for settings in ({"n_rounds": 0}, {"omega": 0.0}, {"omega": 1.0})
    )
    np.testing.assert_allclose(alone, idle, atol=1e-4)
    assert np.abs(alone - none).max() > 0.01


@pytest.mark.learns
def test_pseudo_labels_move_the_threshold_by_the_gap_of_the_teachers_accuracies():
    """Two Gaussians: theta of the named rows is off by delta (mu1 - mu2) / 2, whatever their number (theorem 1)."""
    rng, n = np.random.default_rng(SEED), 40_000
    p, q = 0.95, 0.75  # the teacher is right of rows that it calls positive, and negative
    named = rng.random(n) < 0.5
    x = np.where(named, np.where(rng.random(n) < p, 3.0, 0.0), np.where(rng.random(n) < q, 0.0, 3.0))
    x = x + 0.5 * rng.standard_normal(n)
    means = [NearestCentroid().fit(x[:, None], named).centroids_[of, 0] for of in (0, 1)]
    require(below=0.05, off=abs(float(np.mean(means)) - 1.5 - (p - q) * 3.0 / 2))


@pytest.mark.learns
def test_a_norm_that_needs_no_labels_tells_what_linear_weights_cannot():
    rng, d = np.random.default_rng(SEED), 20
    X = np.concatenate([rng.standard_normal((10, d)), 2 * rng.standard_normal((500, d))])
    tests = np.concatenate([rng.standard_normal((300, d)), 2 * rng.standard_normal((300, d))])
    y, truth = np.repeat([0, 1], [10, 500]), np.repeat([0, 1], 300)
    norm = NearestCentroid().fit((X**2).sum(axis=1, keepdims=True), y)
    require(above=0.9, norm=norm.score((tests**2).sum(axis=1, keepdims=True), truth))
    require(below=0.75, raw=ImbalancedSelfTraining().fit(X, y).score(tests, truth))


@pytest.mark.learns
def test_rare_digits_are_found_more_often_with_rows_that_have_no_label():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(SEED)
    counts = np.round(40 * 30 ** (-np.arange(10) / 9)).astype(int)
    pools = [rng.permutation(np.flatnonzero(y == of)) for of in range(10)]
    few = np.concatenate([pool[:n] for pool, n in zip(pools, counts, strict=True)])
    others, tests = (np.concatenate([pool[part] for pool in pools]) for part in (slice(40, 100), slice(100, 150)))
    alone = ImbalancedSelfTraining().fit(X[few], y[few]).predict(X[tests])
    taught = ImbalancedSelfTraining().fit(X[few], y[few], X_unlabelled=X[others]).predict(X[tests])
    rare = y[tests] >= 5
    require(above=0.01, gain=float((taught == y[tests])[rare].mean() - (alone == y[tests])[rare].mean()))


def test_images_are_turned_and_a_network_starts_from_what_turns_taught_it():
    X = np.arange(8.0).reshape(2, 4)
    assert turned(X, np.array([0, 1])).tolist() == [[0, 1, 2, 3], [5, 7, 4, 6]]
    assert turned(X, np.array([2, 3])).tolist() == [[3, 2, 1, 0], [6, 4, 7, 5]]
    rng = np.random.RandomState(0)
    model = ImbalancedSelfTraining(hidden=8, pretext="rotation", n_steps=100)
    images = np.tile([4.0, 0.0, 0.0, 0.0], (50, 1)) + 0.1 * rng.standard_normal((50, 4))
    model.classes_, model.mean_, model.scale_ = np.arange(3), images.mean(axis=0), np.ones(4)
    start = model._start(images - model.mean_, images[:0], rng)
    assert {name: of.shape for name, of in start.items() if name.startswith("weights")} == {
        "weights0": (4, 8), "weights1": (8, 4), "weights2": (4, 3),
    }  # fmt: skip
    assert np.abs(start["bias0"]).max() > 0.01


@pytest.mark.parametrize(
    ("settings", "y", "others", "words"),
    [
        ({"omega": -1.0}, [0, 1], None, "must be at least 0, .* got 1, 0, -1.0"),
        ({"weighting": "all"}, [0, 1], None, "weighting none, balanced or effective, got 1.0, 0.003 and 'all'"),
        ({"pretext": "rotation"}, [0, 1], None, "must have square images .* got 2 numbers a row and hidden 0"),
        ({"pretext": "colour"}, [0, 1], None, "pretext must be none or rotation, got 'colour'"),
        ({}, [1, 1], None, "two classes at least, got 1 class: '1'"),
        ({}, [0, 1], np.ones((4, 3)), "X_unlabelled must have 2 numbers a row, as the labelled rows have, got 3"),
    ],
)
def test_bad_input_is_refused_before_training(settings, y, others, words):
    with pytest.raises(ValueError, match=words):
        ImbalancedSelfTraining(**settings).fit(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array(y), X_unlabelled=others)
