"""Recall at k: which share of what is relevant to a query is among the k that are ranked first.

Source: C. Manning et al., Introduction to Information Retrieval, 2008, chapter 8. Ties are ranked by column, so a score
that is constant has the recall of that order.
Cost: O(q n log n) for q queries over n documents.
"""

import numpy as np


def recall_at_k(score: np.ndarray, is_relevant: np.ndarray, *, k: int) -> np.ndarray:
    """Recall of each query: score [q, n], is_relevant [q, n] bool -> [q], NaN where nothing is relevant.

    >>> import numpy as np
    >>> score, is_relevant = np.array([[3.0, 2.0, 1.0]]), np.array([[True, False, True]])
    >>> recall_at_k(score, is_relevant, k=2).tolist()
    [0.5]

    Raises
    ------
    ValueError
        If shapes differ, there is no document, k isn't positive, or a score is NaN.
    """
    if score.shape != is_relevant.shape or score.ndim != 2 or not score.shape[1] or k < 1 or np.isnan(score).any():
        raise ValueError(
            f"score and is_relevant must be [queries, documents] alike without NaN, and k at least 1, got "
            f"{score.shape}, {is_relevant.shape}, {int(np.isnan(score).sum())} NaN and k {k}."
        )
    first = np.argsort(-score, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(is_relevant, first, axis=1).sum(axis=1)
    n_relevant = is_relevant.sum(axis=1)
    return np.asarray(np.divide(found, n_relevant, out=np.full(len(score), np.nan), where=n_relevant > 0))
