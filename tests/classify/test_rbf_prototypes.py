"""RBF prototypes on digits: better than centroids, radii that hold, and what it says and refuses."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestCentroid

from raypipe.classify.rbf_prototypes import RBFPrototypes


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / 16, y[order]
    return (X[:700], y[:700]), (X[1200:], y[1200:])


@pytest.fixture(scope="module")
def robust(digits):
    return RBFPrototypes(robust=True, margin=0.3, n_epochs=40, learning_rate=0.02, random_state=0).fit(*digits[0])


def test_twenty_components_are_better_than_ten_centroids(digits, robust):
    (X, y), (Z, t) = digits
    assert (robust.predict(Z) == t).mean() > (NearestCentroid().fit(X, y).predict(Z) == t).mean()


def test_no_random_move_within_a_radius_changes_a_class(digits, robust):
    _, (Z, _) = digits
    said, bound, rng = robust.predict(Z), robust.radius(Z), np.random.default_rng(1)
    assert np.median(bound) > 0.1
    for _ in range(5):
        moves = rng.normal(size=Z.shape)
        moves *= 0.999 * (bound / np.linalg.norm(moves, axis=1))[:, None]
        assert (robust.predict(Z + moves) == said).all()


def test_a_radius_for_the_truth_is_negative_where_the_answer_is_wrong(digits, robust):
    _, (Z, t) = digits
    assert ((robust.radius(Z, t) > 0) == (robust.predict(Z) == t)).all()
    with pytest.raises(ValueError, match="y must be of classes that were learned, '11' was not"):
        robust.radius(Z[:1], np.array([11]))


def test_it_says_which_components_decide(digits, robust):
    _, (Z, _) = digits
    assert "component" in robust.explain(Z[:2], [])[0]
    assert len(robust.explain(Z[:2], [])[1].split("; ")) == 3


@pytest.mark.parametrize(
    ("settings", "y", "words"),
    [
        ({"n_components": 0}, [0, 1], "must be at least 1, margin above 0, got 0, 2, 100, 128 and 0.3"),
        ({"margin": 0.0}, [0, 1], "128 and 0.0"),
        ({}, [1, 1], "two classes at least, got 1 class: '1'"),
    ],
)
def test_bad_input_is_refused(settings, y, words):
    with pytest.raises(ValueError, match=words):
        RBFPrototypes(**settings).fit(np.eye(2), y)
