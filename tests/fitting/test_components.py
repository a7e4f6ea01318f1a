"""Components: scores and radii by slow loops, gradients against differences, and radii that no move breaks."""

from dataclasses import replace

import numpy as np
import pytest

from raypipe.fitting.components import Adam, Network, best_of_classes, margin_loss, radii, rivalry, robust_loss

N_CONCEPTS = 2


def network(seed=0, d=3, k=3, K=5):
    rng = np.random.default_rng(seed)
    return Network(rng.normal(size=(K, d)), np.array([0.2]), rng.normal(size=(2 * K, k * N_CONCEPTS)))


def rows(seed=1, n=12, d=3, k=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * 1.5, rng.integers(0, k, n)


def test_scores_are_those_of_a_slow_loop_and_lie_between_0_and_1():
    net, (X, _) = network(), rows()
    present, absent = net.reasoning()
    np.testing.assert_allclose(present.sum(axis=0) + absent.sum(axis=0), 1)
    scores = net.concepts(net.presence(X)[0])
    for i, x in enumerate(X):
        near = [np.exp(-np.linalg.norm(x - w) / np.exp(0.2)) for w in net.components]
        for c in range(6):
            right = sum(present[j, c] * near[j] + absent[j, c] * (1 - near[j]) for j in range(5))
            assert scores[i, c] == pytest.approx(right)
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_array_equal(best_of_classes(scores, 2)[:, 1], scores[:, 2:4].max(axis=1))


@pytest.mark.parametrize(("loss", "margin"), [(margin_loss, 0.3), (robust_loss, 0.5)])
def test_gradients_are_those_of_differences(loss, margin):
    net, (X, at) = network(), rows()
    _, gradient = loss(net, X, at, N_CONCEPTS, margin)
    rng = np.random.default_rng(2)
    for name in ("components", "log_sigma", "theta"):
        weights = getattr(net, name)
        for _ in range(8):
            place = tuple(rng.integers(size) for size in weights.shape)
            step = np.zeros_like(weights)
            step[place] = 1e-6
            up, down = (loss(replace(net, **{name: weights + s}), X, at, N_CONCEPTS, margin)[0] for s in (step, -step))
            assert getattr(gradient, name)[place] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-7)


def slow_root(presence, present, absent, c, j):
    """The factor at which the worst case of concept c falls to that of concept j, by bisection."""

    def gap(t):
        gains, losses = presence @ (present[:, c] + absent[:, j]), presence @ (absent[:, c] + present[:, j])
        return gains / t - t * losses + absent[:, c].sum() - absent[:, j].sum()

    low, high = 1e-9, 1e9
    for _ in range(100):
        middle = np.sqrt(low * high)
        low, high = (middle, high) if gap(middle) > 0 else (low, middle)
    return low


def test_the_radius_is_the_least_over_rivals_of_the_best_of_the_own_concepts():
    net, (X, at) = network(), rows(n=4)
    near, _ = net.presence(X)
    present, absent = net.reasoning()
    for i, found in enumerate(radii(net, X, at, N_CONCEPTS)):
        own, rivals = (2 * at[i], 2 * at[i] + 1), [j for j in range(6) if j // 2 != at[i]]
        best = [max(slow_root(near[i], present, absent, c, j) for c in own) for j in rivals]
        assert found == pytest.approx(np.exp(0.2) * np.log(min(best)), abs=1e-6)


def test_the_sign_of_the_radius_is_that_of_the_margin_and_everything_doubled_doubles_it():
    for seed in range(5):
        net, (X, at) = network(seed), rows(seed + 10, n=200)
        scores = best_of_classes(net.concepts(net.presence(X)[0]), N_CONCEPTS)
        own = scores[np.arange(200), at]
        scores[np.arange(200), at] = -1
        found = radii(net, X, at, N_CONCEPTS)
        assert ((found > 0) == (own > scores.max(axis=1))).all()
        double = Network(2 * net.components, net.log_sigma + np.log(2), net.theta)
        np.testing.assert_allclose(radii(double, 2 * X, at, N_CONCEPTS), 2 * found, rtol=1e-9)


def test_with_presence_alone_the_radius_has_a_closed_form():
    net, (X, at) = network(), rows()
    alone = Network(net.components, net.log_sigma, np.concatenate([net.theta[:5], np.full((5, 6), -800.0)]))
    votes = alone.presence(X)[0] @ alone.reasoning()[0]
    best = best_of_classes(votes, N_CONCEPTS)
    own = best[np.arange(12), at]
    best[np.arange(12), at] = 0
    np.testing.assert_allclose(radii(alone, X, at, N_CONCEPTS), np.exp(0.2) / 2 * np.log(own / best.max(axis=1)))


def test_none_of_10_000_moves_within_the_radius_changes_a_class():
    """Random directions, and along the differences of the two scores: as far as the radius allows."""
    net, rng = network(3), np.random.default_rng(4)
    X = rng.normal(size=(500, 3)) * 1.5
    said = best_of_classes(net.concepts(net.presence(X)[0]), N_CONCEPTS).argmax(axis=1)
    bound = radii(net, X, said, N_CONCEPTS)
    assert (bound > 0).all()
    tried = 0
    for turn in range(20):
        moves = rng.normal(size=X.shape) if turn < 12 else -_slopes(net, X, said)
        moves *= 0.999 * (bound / np.maximum(np.linalg.norm(moves, axis=1), 1e-12))[:, None]
        if turn >= 12:
            moves *= (turn - 11) / 8
        scores = best_of_classes(net.concepts(net.presence(X + moves)[0]), N_CONCEPTS)
        assert (scores.argmax(axis=1) == said).all()
        tried += len(X)
    assert tried == 10_000


def _slopes(net, X, said):
    """Of the gap between the class's score and the best other's, by differences: [n, d]."""

    def gap(Z):
        scores = best_of_classes(net.concepts(net.presence(Z)[0]), N_CONCEPTS)
        own = scores[np.arange(len(Z)), said]
        scores[np.arange(len(Z)), said] = -1
        return own - scores.max(axis=1)

    return np.stack([(gap(X + 1e-5 * e) - gap(X - 1e-5 * e)) / 2e-5 for e in np.eye(X.shape[1])], axis=1)


def test_adam_goes_down_and_the_first_step_is_the_learning_rate():
    net, (X, _) = network(), rows(n=60)
    at = X.argmax(axis=1)  # which can be learned
    before = net.components.copy()
    first, gradient = margin_loss(net, X, at, N_CONCEPTS, 0.3)
    adam = Adam(0.05)
    adam.step(net, gradient)
    moved = np.abs(net.components - before)[np.abs(gradient.components) > 1e-4]
    np.testing.assert_allclose(moved, 0.05, rtol=1e-3)
    for _ in range(60):
        adam.step(net, margin_loss(net, X, at, N_CONCEPTS, 0.3)[1])
    assert margin_loss(net, X, at, N_CONCEPTS, 0.3)[0] < 0.8 * first
    assert rivalry(net, net.presence(X)[0], at, N_CONCEPTS).own.shape == (60,)
