"""Digits on a long tail with a fifth of the labels drawn anew, and how well a rule finds the wrong ones."""

import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

STORED = Path(__file__).parent / "stored" / "cleanlab.json"
SEEDS = (0, 1, 2)


def noisy_tail(seed: int, *, noise: float = 0.2, ratio: float = 20.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X [n, 64], given labels [n] and which of them are wrong [n]: 100 rows of 0 down to 5 of 9."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    sizes = np.round(100 * ratio ** (-np.arange(10) / 9)).astype(int)
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == of))[:n] for of, n in enumerate(sizes)])
    given = np.where(rng.random(len(rows)) < noise, rng.choice(10, len(rows), p=sizes / sizes.sum()), y[rows])
    given[np.cumsum(sizes) - 1] = np.arange(10)  # no class is lost
    return X[rows], given, given != y[rows]


def probabilities(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[n, k] of a logistic regression, out of two folds."""
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    found: np.ndarray = cross_val_predict(model, (X - X.mean(axis=0)) / 16, y, cv=folds, method="predict_proba")
    return found


def found_wrong(flagged: np.ndarray, doubt: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Share of rows flagged, precision and recall of the flags, area under the ROC of a doubt."""
    return {
        "flagged": float(flagged.mean()), "precision": float(wrong[flagged].mean()),
        "recall": float(flagged[wrong].mean()), "auroc": float(roc_auc_score(wrong, doubt)),
    }  # fmt: skip


def stored() -> dict:
    """What cleanlab finds, by seed, and its version."""
    found: dict = json.loads(STORED.read_text())
    return found
