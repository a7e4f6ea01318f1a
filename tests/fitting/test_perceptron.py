"""Layers beside differences: gradients by weights, by X and by the last hidden layer."""

import numpy as np
import pytest

from raypipe.fitting.perceptron import (
    activations,
    average,
    begun,
    cross_entropy,
    layers_of,
    layers_state,
    logits,
    slopes,
)


@pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 4, 2)])
def test_gradients_are_those_of_differences(sizes):
    rng = np.random.RandomState(0)
    layers, X, targets = begun(sizes, rng), rng.standard_normal((6, 3)), np.eye(2)[rng.randint(2, size=6)] * 0.7
    layers |= {name: rng.standard_normal(of.shape) for name, of in layers.items() if name.startswith("bias")}
    pull = rng.standard_normal((6, sizes[-2]))

    def loss(layers, X):
        made = activations(layers, X)
        return cross_entropy(made[-1], targets)[0] + (made[-2] * pull).sum() * (len(sizes) > 2)

    made = activations(layers, X)
    _, slope = cross_entropy(made[-1], targets)
    found, by_X = slopes(layers, made, slope, by_last_hidden=pull if len(sizes) > 2 else None)
    for name, of in layers.items():
        for at in np.ndindex(of.shape):
            step = np.zeros_like(of)
            step[at] = 1e-6
            up, down = (loss({**layers, name: of + sign * step}, X) for sign in (1, -1))
            assert found[name][at] == pytest.approx((up - down) / 2e-6, abs=1e-6)
    for at in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[at] = 1e-6
        assert by_X[at] == pytest.approx((loss(layers, X + step) - loss(layers, X - step)) / 2e-6, abs=1e-6)


def test_weights_of_rows_sum_their_losses():
    rng = np.random.RandomState(1)
    Z, targets, weight = rng.standard_normal((4, 3)), np.eye(3)[[0, 1, 2, 0]], np.array([1.0, 0.0, 2.0, 0.5])
    value, slope = cross_entropy(Z, targets, weight)
    alone = [cross_entropy(Z[at : at + 1], targets[at : at + 1]) for at in range(4)]
    assert value == pytest.approx(sum(w * one for w, (one, _) in zip(weight, alone, strict=True)))
    np.testing.assert_allclose(slope, weight[:, None] * np.concatenate([one for _, one in alone]))


def test_a_state_gives_the_layers_back_and_averages_lie_between():
    layers = begun((2, 3, 2), np.random.RandomState(2))
    again = layers_of({"mean": np.zeros(2)} | layers_state(layers))
    X = np.ones((1, 2))
    np.testing.assert_array_equal(logits(again, X), logits(layers, X))
    half = average(layers, {name: of + 1 for name, of in layers.items()}, 0.5)
    np.testing.assert_allclose(half["weights0"], layers["weights0"] + 0.5)
