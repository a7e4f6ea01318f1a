"""Recall of rankings."""

import numpy as np
import pytest

from raypipe.evaluate.recall_at_k import recall_at_k


def test_it_equals_a_slow_loop():
    rng = np.random.default_rng(0)
    score, is_relevant = rng.normal(size=(20, 30)), rng.random((20, 30)) < 0.1
    is_relevant[3] = False
    for k in (1, 5, 30, 99):
        found = recall_at_k(score, is_relevant, k=k)
        for query in range(20):
            best = sorted(range(30), key=lambda at: -score[query, at])[:k]
            n = is_relevant[query].sum()
            slow = sum(is_relevant[query, at] for at in best) / n if n else np.nan
            assert found[query] == pytest.approx(slow, nan_ok=True)


def test_ties_are_ranked_by_column():
    assert recall_at_k(np.zeros((1, 3)), np.array([[False, True, False]]), k=1).tolist() == [0.0]
    assert recall_at_k(np.zeros((1, 3)), np.array([[True, False, False]]), k=1).tolist() == [1.0]


def test_wrong_shapes_and_nan_are_refused():
    one = np.ones((1, 1), bool)
    for score, relevant, k in (
        (np.zeros((2, 3)), one, 1),
        (np.zeros((1, 1)), one, 0),
        (np.full((1, 1), np.nan), one, 1),
    ):
        with pytest.raises(ValueError, match="queries, documents"):
            recall_at_k(score, relevant, k=k)
