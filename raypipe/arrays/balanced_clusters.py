"""Clusters of nearly one size whose rows are alike: halves of halves by cosine.

Source: K. Dahiya et al., NGAME, WSDM 2023, arXiv 2207.04452, module 1, step 2: recursive balanced spherical 2-means, as
extreme classifiers build their trees (Y. Prabhu et al., Parabel, WWW 2018, section 3.1).
Departure: only what is too large is halved, and halves differ by one row, whatever the number of rows is.
Cost: O(n d log k) an iteration of 2-means; memory of n d.
"""

import numpy as np

N_ITERATIONS = 8


def balanced_clusters(X: np.ndarray, size: int, *, seed: int) -> list[np.ndarray]:
    """Positions of the rows of each cluster, of `size` rows at most: [n, d] float32 of length 1 -> arrays of int64.

    A cluster is halved until it is no larger; the sizes of all differ by a factor of 2 at most.

    Raises
    ------
    ValueError
        If size isn't positive, or a vector isn't finite.
    """
    if size < 1 or X.ndim != 2 or not np.isfinite(X).all():
        raise ValueError(f"size must be at least 1 and vectors be [n, d] and finite, got {size} and {X.shape}.")
    parts = [np.arange(len(X))] if len(X) else []
    rng = np.random.default_rng(seed)
    while parts and max(map(len, parts)) > size:
        parts = [half for part in parts for half in (_halves(X, part, rng) if len(part) > size else (part,))]
    return parts


def _halves(X: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two halves by which of two centroids a row leans to, the ties and the surplus to the other."""
    some, first = X[rows], rng.choice(len(rows), 2, replace=False)
    centroids, before = some[first], None
    for _ in range(N_ITERATIONS):
        lean = some @ (centroids[0] - centroids[1])
        order = np.argsort(-lean, kind="stable")
        is_first = np.zeros(len(rows), bool)
        is_first[order[: (len(rows) + 1) // 2]] = True
        if before is not None and np.array_equal(is_first, before):
            break
        before = is_first
        sums = np.stack([some[is_first].sum(axis=0), some[~is_first].sum(axis=0)])
        centroids = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    assert before is not None
    return rows[before], rows[~before]
