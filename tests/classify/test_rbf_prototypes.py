"""RBF prototypes on digits: better than centroids, radii that hold, and what it says and refuses."""

import numpy as np
import pytest
import torch
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


def attacked(model, X, y, size, n_steps=10):
    """Rows [n, d] moved by at most `size` down the gap of the scores, whose slopes torch takes."""
    state = {name: torch.from_numpy(of) for name, of in model.state().items() if of.dtype == np.float64}
    present, absent = torch.softmax(state["theta"], dim=0).chunk(2)
    at = torch.from_numpy(np.searchsorted(model.classes_, y))[:, None]
    rows, moved = torch.from_numpy(X), torch.from_numpy(X)
    for _ in range(n_steps):
        moved = moved.detach().requires_grad_()
        near = torch.exp(-torch.cdist(moved, state["components"]) / state["sigma"])
        scores = (near @ present + (1 - near) @ absent).reshape(len(X), -1, model.n_concepts).amax(dim=2)
        (scores.gather(1, at)[:, 0] - scores.scatter(1, at, -1).amax(dim=1)).sum().backward()
        step = moved.grad / moved.grad.norm(dim=1, keepdim=True).clamp(min=1e-12)
        away = moved.detach() - 2.5 * size / n_steps * step - rows
        moved = rows + away * (size / away.norm(dim=1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
    return moved.numpy()


def test_no_more_rows_are_certified_than_withstand_an_attack_and_none_inside_its_radius_turns(digits, robust):
    _, (Z, t) = digits
    bound, turned = robust.radius(Z, t), 0
    for size in (0.1, 0.3, 0.5, 0.8):
        withstand = robust.predict(attacked(robust, Z, t, size)) == t
        assert (bound > size).mean() <= withstand.mean()
        assert withstand[bound > size].all()
        turned += (~withstand & (bound > 0)).sum()
    assert turned > 100  # it is an attack


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
