"""A small classifier distilled from an annotator by rounds of questions about the rows that it doubts most.

Source: O. Stretcu et al., Agile Modeling, ICCV 2023, section 3.3 (mining by phrases, then five rounds of a hundred rows
by margin), on which I. Toubal et al., Modeling Collaborator, CVPR 2024, builds.
Departures: the student is a logistic regression on the vectors, with the sorts weighed alike, instead of a small
network; no unlabelled rows are assumed negative, which is wrong where the concept is frequent.
Cost: a fit on the annotated rows a round, and O(n d) to score the pool.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Annotate = Callable[[np.ndarray], np.ndarray]
"""Numbers of rows [n] -> whether each is of the concept [n] bool."""
Choice = Literal["margin", "random", "top"]


def mined(X: np.ndarray, phrases: np.ndarray, *, n_near: int, n_random: int, random_state: int = 0) -> np.ndarray:
    """A first batch of rows [n_near + n_random]: nearest to a phrase [p, d], by turns, then others at random.

    Raises
    ------
    ValueError
        If the pool is smaller.
    """
    if n_near + n_random > len(X):
        raise ValueError(f"the pool must hold {n_near + n_random} rows at least, got {len(X)}.")
    ranked = np.argsort(-(X @ phrases.T), axis=0, kind="stable")  # [n, p]
    near = list(dict.fromkeys(ranked.ravel().tolist()))[:n_near]
    rest = np.setdiff1d(np.arange(len(X)), near)
    others = np.random.default_rng(random_state).permutation(rest)[:n_random]
    return np.append(near, others).astype(np.int64)


def distilled(
    X: np.ndarray, first: np.ndarray, annotate: Annotate, *, rounds: int = 5, batch: int = 100,
    choice: Choice = "margin", random_state: int = 0,
) -> "tuple[LogisticRegression, np.ndarray]":  # fmt: skip
    """The student, and the rows [m] that were annotated in order: the first batch, then `batch` more a round.

    Raises
    ------
    ValueError
        If the annotator finds only one sort in the first batch, or the pool ends.
    """
    if len(first) + rounds * batch > len(X):
        raise ValueError(f"the pool must hold {len(first) + rounds * batch} rows to annotate, got {len(X)}.")
    rng, rows, labels = np.random.default_rng(random_state), first, annotate(first)
    if labels.all() or not labels.any():
        raise ValueError(
            f"the first {len(first)} rows must be of both sorts, the annotator finds all "
            f"{'of' if labels.all() else 'outside'} the concept; give other phrases or questions."
        )
    student = _fitted(X[rows], labels)
    for _ in range(rounds):
        left = np.setdiff1d(np.arange(len(X)), rows)
        more = _chosen(student, X, left, choice, rng)[:batch]
        rows, labels = np.append(rows, more), np.append(labels, annotate(more))
        student = _fitted(X[rows], labels)
    return student, rows


def _chosen(
    student: "LogisticRegression", X: np.ndarray, left: np.ndarray, choice: Choice, rng: np.random.Generator
) -> np.ndarray:
    """The rows that are left, those to ask about first."""
    if choice == "random":
        return rng.permutation(left)
    logits = student.decision_function(X[left])
    order: np.ndarray = left[np.argsort(abs(logits) if choice == "margin" else -logits, kind="stable")]
    return order


def _fitted(X: np.ndarray, labels: np.ndarray) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(class_weight="balanced", C=10.0, max_iter=500).fit(X, labels)
