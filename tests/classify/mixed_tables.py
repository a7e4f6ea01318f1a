"""Small tables of numbers, categories and empty cells, the same everywhere; and what foldrpp learns of some."""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine

STORED = Path(__file__).parent / "stored" / "foldrpp.json"
OPS = {"<=": "=<", ">": ">", "==": "==", "!=": "!="}


def mixed_table(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Object cells [n, 5] and y [n] bool: two columns of numbers, one with holes, two of categories, one mixed."""
    rng = np.random.default_rng(seed)
    X = np.empty((n, 5), dtype=object)
    X[:, 0] = rng.integers(0, 12, n).astype(float)
    X[:, 1] = np.round(rng.normal(size=n), 1)
    X[:, 2] = rng.choice(["red", "green", "blue"], n)
    X[:, 3] = rng.choice(["a", "b", None], n)
    X[:, 4] = X[:, 0] - rng.integers(0, 5, n)
    y = (X[:, 0] > 6) & (X[:, 2] != "red") | (X[:, 1] < -0.7) & (X[:, 3] == "a")
    y ^= rng.random(n) < 0.08
    X[rng.random(n) < 0.3, 1] = None
    X[rng.random(n) < 0.2, 4] = "unknown"
    return X, y.astype(bool)


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By name, cells and whether a row is positive."""
    made = {f"mixed {seed}": mixed_table(seed) for seed in range(4)}
    cancer, wine = load_breast_cancer(), load_wine()
    return {
        **made, "breast cancer": (cancer.data, cancer.target == 1), "wine": (wine.data, wine.target == 1),
    }  # fmt: skip


def stored() -> dict:
    """What foldrpp learnt, and its version."""
    return json.loads(STORED.read_text())
