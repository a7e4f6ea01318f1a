"""ST-ProtoPNet on patches of digits: geometry, pushes, explanations, sets however they come, and what it refuses."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from raypipe.classify.st_protopnet import STProtoPNet
from raypipe.contracts.estimator import VectorSet
from raypipe.fitting.prototypes import alike, placed, similarities
from tests.learning import SEED, require


class Watched(STProtoPNet):
    """Keeps the branches as they are before the push."""

    def _settle(self, branches, sets, at, names):
        self.before_ = [dict(branch) for branch in branches]
        super()._settle(branches, sets, at, names)


def patches(X):
    """Nine overlapping patches of 4 x 4, each with its place: [n, 64] -> [n, 9, 18]."""
    images, found = X.reshape(-1, 8, 8), []
    for row in (0, 2, 4):
        for column in (0, 2, 4):
            place = np.broadcast_to([row / 2 - 1, column / 2 - 1], (len(X), 2))
            found.append(np.hstack([images[:, row : row + 4, column : column + 4].reshape(-1, 16), place]))
    return np.stack(found, axis=1)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(y))
    X, y = patches(X[order] / 16), y[order]
    return (X[:700], y[:700]), (X[1200:], y[1200:])


@pytest.fixture(scope="module")
def fitted(digits):
    return Watched(n_epochs=60, random_state=SEED).fit(*digits[0])


@pytest.mark.learns
def test_support_prototypes_of_classes_are_close_and_trivial_ones_apart(fitted):
    (apart, _), (close, _) = map(alike, fitted.before_)
    require(below=0.1, trivial=apart)
    require(above=0.5, support=close)


@pytest.mark.learns
def test_it_is_better_than_logistic_regression_on_pooled_patches(digits, fitted):
    (X, y), (Z, t) = digits
    pooled = LogisticRegression(max_iter=500).fit(X.mean(axis=1), y).score(Z.mean(axis=1), t)
    require(above=0.1, gain=fitted.score(Z, t) - pooled)


def test_every_prototype_is_the_training_patch_that_it_names(digits, fitted):
    (X, y), _ = digits
    for branch, places in zip(fitted.branches_, fitted.places_, strict=True):
        rows, vectors = places.T
        assert (y[rows] == np.repeat(np.arange(10), 5)).all()
        cosines = (placed(branch, (X[rows, vectors] - fitted.mean_) / fitted.scale_) * branch["prototypes"]).sum(axis=1)
        assert cosines.min() > 0.9999


@pytest.mark.learns
def test_the_push_costs_at_most_two_points_once_the_last_layer_is_refitted(digits, fitted):
    _, (Z, t) = digits
    sets = fitted._sets(Z)
    logits = sum(similarities(branch, sets)[0] @ branch["weights"].T for branch in fitted.before_)
    before = (fitted.classes_[logits.argmax(axis=1)] == t).mean()
    require(above=-0.02, gain=fitted.score(Z, t) - before)


def test_padding_and_the_order_of_vectors_change_nothing(digits, fitted):
    _, (Z, _) = digits
    padded = np.concatenate([np.full((50, 3, 18), np.nan), Z[:50, ::-1]], axis=1)
    np.testing.assert_allclose(fitted.predict_proba(padded), fitted.predict_proba(Z[:50]), rtol=1e-9)
    alone = np.concatenate([fitted.predict_proba(Z[at : at + 1]) for at in range(50)])
    np.testing.assert_allclose(alone, fitted.predict_proba(Z[:50]), rtol=1e-9)


def test_a_fit_on_padded_sets_is_that_on_lists_of_them(digits):
    (X, y), _ = digits
    padded = np.concatenate([X[:60], np.full((60, 2, 18), np.nan)], axis=1)
    sets = np.empty(60, object)
    for at, of in enumerate(X[:60]):
        sets[at] = VectorSet(of)
    one, other = (STProtoPNet(n_epochs=1, random_state=0).fit(of, y[:60]) for of in (padded, sets))
    np.testing.assert_array_equal(one.predict_proba(X[60:90]), other.predict_proba(X[60:90]))


def test_it_names_the_parts_of_a_text_and_the_training_parts_that_they_are_like():
    rng = np.random.default_rng(0)
    kinds = {"cat": np.array([4.0, 0, 0]), "dog": np.array([0, 4.0, 0])}
    X, y = np.empty(40, object), np.array(["cat", "dog"] * 20)
    for at, of in enumerate(y):
        vectors = np.stack([kinds[of], np.array([0, 0, 4.0])]) + 0.1 * rng.standard_normal((2, 3))
        X[at] = VectorSet(vectors, (f"a {of} in {at}", f"filler {at}"))
    fitted = STProtoPNet(n_prototypes=4, random_state=0).fit(X, y)
    said = fitted.explain(X[:2], [])
    assert said[0].startswith("'a cat in 0' is 1.00 like 'a cat in ")
    assert len(set(said[0].split("; "))) == 3
    assert "like 'a dog in " in said[1]
    assert "(dog, " in said[1]
    again = STProtoPNet(n_prototypes=4, random_state=0).from_state(fitted.state())
    assert again.explain(X[:2], []) == said
    bare = again.explain(np.stack([one.vectors for one in X[:1]]), [])[0]
    assert bare.startswith("vector 0 is 1.00 like")


@pytest.mark.parametrize(
    ("settings", "X", "y", "words"),
    [
        ({"n_prototypes": 0}, np.ones((2, 1)), [0, 1], "sizes must be at least 1, .* got n_prototypes 0, hidden 64"),
        ({"scale": 0.0}, np.ones((2, 1)), [0, 1], "0.01 and 0.0"),
        ({}, np.ones((2, 1, 1)), [1, 1], "two classes at least, got 1 class: '1'"),
        ({}, np.ones((2, 1, 1)), [0, 1, 1], "a class for each set, got 3 for 2 sets"),
    ],
)
def test_bad_input_is_refused(settings, X, y, words):
    with pytest.raises(ValueError, match=words):
        STProtoPNet(**settings).fit(X, np.array(y))


def test_vectors_of_another_length_are_refused(fitted):
    with pytest.raises(ValueError, match="vectors must have 18 numbers, got 3"):
        fitted.predict(np.ones((1, 2, 3)))
