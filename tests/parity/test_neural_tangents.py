"""Kernels of finite depth by neural-tangents; skips itself where that isn't, or doesn't go with jax (0.6.5: 0.4.30).

The network is made of the activations themselves, as polynomials, so it knows nothing of our dual. STORE=1 keeps what
it says for tests without it.
"""

import json
import os
from importlib.metadata import version
from math import factorial, sqrt
from pathlib import Path

import numpy as np
import pytest
from numpy.polynomial import hermite_e

pytestmark = pytest.mark.parity
STORED = Path(__file__).parents[1] / "classify" / "stored" / "neural_tangents.json"
try:
    import jax
    from neural_tangents import stax
except (ImportError, AttributeError) as error:
    pytest.skip(f"neural-tangents can't be imported: {error}", allow_module_level=True)


def optimal_activation(dimension: int) -> np.ndarray:
    """Powers of the activation whose deep limit is singular with that exponent, by normalised Hermite polynomials."""
    if dimension == 1:
        weights = {1: sqrt(0.5), 7: sqrt(0.5)}
    else:
        s = 2.0 ** (-dimension / 2)
        weights = {1: sqrt(s), 2: sqrt(1 - 2 * s), 3: sqrt(s)}
    series = np.zeros(8)
    for degree, weight in weights.items():
        series[degree] = weight / sqrt(factorial(degree))
    return hermite_e.herme2poly(series)


def test_what_is_stored_is_what_neural_tangents_says() -> None:
    jax.config.update("jax_enable_x64", True)
    X = np.abs(np.random.default_rng(0).normal(size=(6, 3)))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    kernels = {}
    for dimension in (1, 2, 4):
        for depth in (1, 4):
            layer = [stax.Dense(1, W_std=1.0, b_std=None), stax.Polynomial(optimal_activation(dimension))]
            *_, kernel = stax.serial(*layer * depth)
            kernels[f"{dimension} {depth}"] = np.asarray(kernel(X * sqrt(3), None, "nngp")).tolist()
    if os.environ.get("STORE"):
        versions = {name: version(name) for name in ("neural-tangents", "jax")}
        STORED.write_text(json.dumps({"versions": versions, "X": X.tolist(), "kernels": kernels}) + "\n")
    stored = json.loads(STORED.read_text())
    for name, kernel in kernels.items():
        np.testing.assert_allclose(kernel, stored["kernels"][name], atol=1e-10)
