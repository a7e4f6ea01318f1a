import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import dirichlet
from sklearn.neighbors import KNeighborsClassifier

from raypipe.classify.singular_kernel import (
    SingularKernel,
    deep_kernel,
    deep_limit,
    intrinsic_dimension,
    optimal_dual,
)


def on_the_circle(n, seed):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.6).astype(int)
    X = np.where(y[:, None] == 1, dirichlet.rvs((2, 1), n, rng), dirichlet.rvs((1, 2), n, rng))
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


@pytest.fixture(scope="module")
def circle():
    return on_the_circle(2000, 0), on_the_circle(1500, 1)


def accuracy(alpha, circle):
    (X, y), (Z, z) = circle
    return (SingularKernel(alpha=alpha).fit(X, y).predict(Z) == z).mean()


@pytest.mark.parametrize("alpha", [1.0, 2.5])
def test_it_is_scikit_learn_s_neighbours_with_all_rows_weighted_by_distance(circle, alpha):
    (X, y), (Z, _) = circle
    theirs = KNeighborsClassifier(len(X), weights=lambda r: r**-alpha, algorithm="kd_tree").fit(X, y)
    np.testing.assert_allclose(
        SingularKernel(alpha=alpha).fit(X, y).predict_proba(Z), theirs.predict_proba(Z), rtol=1e-6, atol=1e-12
    )


def test_a_large_alpha_is_the_nearest_neighbour_and_a_small_one_the_majority(circle):
    (X, y), (Z, _) = circle
    nearest = KNeighborsClassifier(1).fit(X, y).predict(Z)
    assert (SingularKernel(alpha=5000.0).fit(X, y).predict(Z) == nearest).all()
    assert set(SingularKernel(alpha=1e-3).fit(X, y).predict(Z)) == {1}


def test_alpha_of_the_dimension_beats_the_nearest_neighbour_and_the_majority(circle):
    assert accuracy(1.0, circle) > accuracy(5000.0, circle) + 0.03
    assert accuracy(1.0, circle) > accuracy(1e-3, circle) + 0.08


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_the_deep_kernel_of_the_optimal_activation_has_the_dimension_as_exponent(dimension):
    r = np.geomspace(1e-3, 1e-1, 60)
    kernel = deep_kernel(1 - r**2 / 2, optimal_dual(dimension), depth=60)
    slope = np.polyfit(np.log(r), np.log(kernel), 1)[0]
    assert slope == pytest.approx(-dimension, abs=2e-3)


def test_the_kernel_of_finite_depth_is_that_of_neural_tangents():
    stored = json.loads((Path(__file__).parent / "stored" / "neural_tangents.json").read_text())
    X = np.array(stored["X"])  # its layers are the activations themselves, as polynomials
    assert len(stored["kernels"]) == 6
    for name, kernel in stored["kernels"].items():
        dimension, depth = map(int, name.split())
        np.testing.assert_allclose(deep_kernel(X @ X.T, optimal_dual(dimension), depth=depth), kernel, atol=1e-10)


def test_a_dual_that_is_wrong_has_another_exponent():
    r = np.geomspace(1e-3, 1e-1, 60)
    kernel = deep_kernel(1 - r**2 / 2, lambda t: (t**5 + t) / 2, depth=60)
    assert abs(np.polyfit(np.log(r), np.log(kernel), 1)[0] + 1) > 0.1


def test_the_limit_of_depth_is_told_by_three_moments():
    assert deep_limit(0.0, 2**-0.5, 4.0) == pytest.approx(1.0)  # the activation of the circle
    assert deep_limit(0.0, 2 ** (-2 / 4), 2.0) == pytest.approx(2.0)  # of the sphere
    a = 2.676
    assert deep_limit(0.0, np.sqrt(a / np.sinh(a)), a / np.tanh(a)) == pytest.approx(2.0, abs=1e-3)  # a sine
    assert deep_limit(1 / np.sqrt(np.pi), 0.5**0.5, 1.0) == "majority"  # ReLU
    assert deep_limit(0.0, 0.0, 3.0) == "nearest neighbour"
    with pytest.raises(ValueError, match="must be above 1"):
        deep_limit(0.0, 1.0, 1.0)


def relu_machine(X, y, Z, *, depth):
    """Answers of the kernel machine of the NTK of a ReLU network (dossier, section b, steps 2 and 3)."""
    both = np.concatenate([X, Z])
    S = np.clip(X @ both.T, -1.0, 1.0)
    S[np.arange(len(X)), np.arange(len(X))] = 1.0
    K = S.copy()
    for _ in range(depth):
        angle = np.arccos(S)
        slope = (np.pi - angle) / np.pi
        S = np.clip((np.sqrt(1 - S**2) + S * (np.pi - angle)) / np.pi, -1.0, 1.0)
        K = S + K * slope
    return (np.linalg.solve(K[:, : len(X)] / depth, 2.0 * y - 1) @ K[:, len(X) :] > 0).astype(int)


def test_a_deep_relu_network_drifts_to_the_majority():
    X, y = on_the_circle(60, 3)
    Z, z = on_the_circle(400, 4)
    shallow, deep = (relu_machine(X, y, Z, depth=depth) for depth in (5, 2000))
    assert y.mean() > 0.5
    assert deep.mean() > shallow.mean() + 0.02  # more rows have the commoner class
    assert (shallow == z).mean() > y.mean()


def test_a_dual_of_a_cube_singles_out_the_nearest_row(circle):
    (X, y), (Z, _) = circle
    logs = 3.0**20 * np.log(np.clip(Z @ X.T, 1e-300, 1.0))  # t^(3^L), in logarithms: plain numbers underflow
    assert (y[logs.argmax(axis=1)] == KNeighborsClassifier(1).fit(X, y).predict(Z)).mean() > 0.995


def test_a_row_that_was_seen_has_the_class_of_the_most_of_its_copies():
    X = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    fitted = SingularKernel(alpha=0.1).fit(X, ["a", "a", "b", "b"])
    np.testing.assert_allclose(fitted.predict_proba(X[:1]), [[2 / 3, 1 / 3]])
    assert fitted.predict(np.array([[0.0, 5.0]])) == ["b"]


def test_the_dimension_is_that_in_which_the_rows_lie():
    rng = np.random.default_rng(0)
    for d in (1, 2, 4):
        flat = rng.normal(size=(1500, d)) @ rng.normal(size=(d, 12))
        assert intrinsic_dimension(flat) == pytest.approx(d, rel=0.15)
        assert intrinsic_dimension(flat[::-1]) == intrinsic_dimension(flat)
    assert intrinsic_dimension(np.ones((50, 3))) == 1.0
    assert SingularKernel().fit(flat, np.arange(1500) % 2).alpha_ < 5


def test_many_dimensions_do_not_underflow():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = rng.normal(size=(200, 384)) + 0.3 * y[:, None]
    assert np.isfinite(SingularKernel(alpha=384.0).fit(X, y).predict_proba(X + 0.01)).all()


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_an_alpha_that_cannot_be_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha must be above 0"):
        SingularKernel(alpha=alpha).fit(np.eye(2), [0, 1])
