"""Branches of prototypes: nearest vectors, losses against slow ones, gradients against differences, pushes."""

import numpy as np
import pytest

from raypipe.fitting.prototypes import (
    PLAIN,
    SUPPORT,
    TRIVIAL,
    Sets,
    alike,
    begun,
    loss,
    placed,
    pushed,
    refitted,
    similarities,
)

AT = np.array([0, 1, 2, 0, 1, 2, 0, 1])


@pytest.fixture
def sets() -> Sets:
    return Sets(np.random.default_rng(0).standard_normal((40, 5)), np.array([0, 3, 4, 9, 15, 16, 20, 30]))


@pytest.fixture
def branch(sets):
    rng = np.random.RandomState(0)
    return begun(sets, AT, k=3, n_prototypes=2, hidden=7, n_dimensions=6, rng=rng)


def slow(branch, sets, at, terms, scale):
    """Every term of the loss by loops, as the dossier writes them."""
    P, W = branch["prototypes"], branch["weights"]
    ends = [*sets.starts[1:], len(sets.vectors)]
    total = 0.0
    for start, end, of in zip(sets.starts, ends, at, strict=True):
        Z = placed(branch, sets.vectors[start:end])
        s = np.array([max(0.0, max(float(z @ p) for z in Z)) for p in P])
        logits = scale * W @ s
        own = np.arange(6) // 2 == of
        total += np.log(np.exp(logits).sum()) - logits[of] - 0.8 * s[own].max() + terms.separation * s[~own].max()
    total /= len(at)
    for c in range(3):
        total += terms.orthonormality * np.abs(P[2 * c : 2 * c + 2] @ P[2 * c : 2 * c + 2].T - np.eye(2)).sum()
    pairs = [P[2 * c : 2 * c + 2] @ P[2 * b : 2 * b + 2].T for c in range(3) for b in range(3) if b != c]
    return (
        total
        + terms.discrimination * np.mean([one.max() for one in pairs])
        - terms.closeness * np.mean([one.min() for one in pairs])
    )


@pytest.mark.parametrize("terms", [TRIVIAL, SUPPORT, PLAIN], ids=["trivial", "support", "plain"])
def test_the_loss_is_the_dossier_s_and_its_gradient_that_of_differences(branch, sets, terms):
    value, gradient = loss(branch, sets, AT, terms, scale=5.0)
    assert value == pytest.approx(slow(branch, sets, AT, terms, 5.0))
    rng, step = np.random.default_rng(1), 1e-6
    for name, slope in gradient.items():
        move = rng.standard_normal(slope.shape)
        up, down = ({**branch, name: branch[name] + sign * step * move} for sign in (1, -1))
        found = (loss(up, sets, AT, terms, scale=5.0)[0] - loss(down, sets, AT, terms, scale=5.0)[0]) / (2 * step)
        assert found == pytest.approx(float((slope * move).sum()), rel=1e-5)


def test_similarity_is_that_of_the_nearest_vector_of_a_set_and_says_which(branch, sets):
    near, places = similarities(branch, sets)
    for row, (start, end) in enumerate(zip(sets.starts, [*sets.starts[1:], 40], strict=True)):
        cosines = placed(branch, sets.vectors[start:end]) @ branch["prototypes"].T
        np.testing.assert_allclose(near[row], np.maximum(cosines.max(axis=0), 0))
        assert (places[row] == start + cosines.argmax(axis=0)).all()


def test_sets_are_taken_whole_and_in_the_order_asked_for(sets):
    some = sets.take(np.array([3, 1]))
    assert some.starts.tolist() == [0, 6]
    np.testing.assert_array_equal(some.vectors, np.concatenate([sets.vectors[9:15], sets.vectors[3:4]]))


def test_a_push_ends_on_the_nearest_vector_of_the_class_s_own_sets(branch, sets):
    found, nearest = pushed(branch, sets, AT)
    owner = np.repeat(AT, np.diff([*sets.starts, 40]))
    assert (owner[nearest] == np.arange(6) // 2).all()
    np.testing.assert_allclose(found["prototypes"], placed(branch, sets.vectors[nearest]))
    for at, place in enumerate(nearest):
        rows = np.flatnonzero(owner == at // 2)
        assert place in rows[(placed(branch, sets.vectors[rows]) @ branch["prototypes"][at]).argsort()[-1:]]


def test_the_last_layer_is_refitted_for_less_loss_and_nothing_else_moves(branch, sets):
    near, _ = similarities(branch, sets)
    found = refitted(branch, near, AT, scale=5.0, n_steps=50)
    assert loss(found, sets, AT, PLAIN, scale=5.0)[0] < loss(branch, sets, AT, PLAIN, scale=5.0)[0]
    assert all(found[name] is branch[name] for name in branch if name != "weights")


def test_how_alike_prototypes_are_is_told_within_classes_and_between_them():
    branch = {"prototypes": np.array([[1.0, 0], [0, 1], [1, 0], [1, 0]]), "weights": np.zeros((2, 4))}
    assert alike(branch) == (0.5, pytest.approx(2 / 8))
