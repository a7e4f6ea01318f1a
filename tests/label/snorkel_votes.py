"""Votes that snorkel's label model was asked about: made ones, and those of WRENCH where they lie beside the clone."""

import json
from pathlib import Path

import numpy as np

STORED = Path(__file__).parent / "fixtures/snorkel.json"
"""Its accuracy on all rows after 100 epochs, seed 0, and its version."""
WRENCH = {"wrench_youtube": 2, "wrench_semeval": 9}
_DATA = Path(__file__).parents[3] / "shared/data"


def made_votes() -> tuple[np.ndarray, np.ndarray]:
    """Ten functions of accuracies from .55 to .9 that abstain on 30 % of 1,000 rows: votes [n, 10] and truth [n]."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 1000)
    votes = np.where(rng.random((1000, 10)) < np.linspace(0.55, 0.9, 10), truth[:, None], 1 - truth[:, None])
    votes[rng.random(votes.shape) < 0.3] = -1
    return votes, truth


def wrench_votes(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Votes [n, m] and truth [n] of the training rows, None where the data aren't there."""
    if not (path := _DATA / name / "train.json").exists():
        return None
    rows = json.loads(path.read_text()).values()
    return np.array([row["weak_labels"] for row in rows]), np.array([row["label"] for row in rows])
