"""Counts of words that pyss3 has learnt once, and what it makes of them."""

import json
from pathlib import Path

import numpy as np

STORED = Path(__file__).parent / "stored" / "pyss3.json"
SETTINGS = {
    "eight classes": {"s": 0.45, "l": 0.5, "p": 1.0, "sg_m": "vanilla", "cv_m": "gv"},
    "three classes": {"s": 0.32, "l": 1.24, "p": 1.1, "sg_m": "vanilla", "cv_m": "norm_gv"},
    "two classes": {"s": 0.44, "l": 0.48, "p": 0.5, "sg_m": "vanilla", "cv_m": "gv"},
    "guarded": {"s": 0.45, "l": 0.5, "p": 1.0, "sg_m": "xai", "cv_m": "norm_gv_xai"},
}
SIZES = {"eight classes": (8, 190), "three classes": (3, 80), "two classes": (2, 60), "guarded": (4, 40)}


def counts_of(name: str) -> np.ndarray:
    """Counts [k, d] of a language whose words are the rarer the later, each class with some of its own."""
    k, d = SIZES[name]
    rng = np.random.default_rng(len(name))
    rates = 60 / (1 + np.arange(d)) * np.exp(rng.normal(size=(k, d)))
    return rng.poisson(rates * (rng.random((k, d)) < 0.8)).astype(int)


def texts_of(name: str) -> list[list[int]]:
    """Numbers of the words of some texts."""
    rng = np.random.default_rng(7)
    return [rng.integers(0, SIZES[name][1], 12).tolist() for _ in range(20)]


def stored() -> dict:
    """What pyss3 says, and its version."""
    return json.loads(STORED.read_text())
