"""Spherical k-means: centroids of length 1 such that rows have high cosines with the nearest.

Source: I. Dhillon, D. Modha, Concept Decompositions for Large Sparse Text Data Using Clustering, Machine Learning 42
(2001), section 3.
Departures: begins with distinct rows drawn by the seed; a centroid that no row is nearest to becomes the row that is
farthest from its own.
Cost: 2 n k d multiplications an iteration; memory of n d and of BLOCK k float32.
"""

import numpy as np

BLOCK = 4096
"""Rows held against all centroids at a time."""


def nearest(X: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centroid of the highest cosine for rows [n, d] of length 1, and that cosine: [n] int64, [n] float32."""
    label, cosine = np.zeros(len(X), np.int64), np.zeros(len(X), np.float32)
    for start in range(0, len(X), BLOCK):
        some = slice(start, start + BLOCK)
        cosines = X[some] @ centroids.T  # [BLOCK, k]
        label[some] = cosines.argmax(axis=1)
        cosine[some] = cosines[np.arange(len(cosines)), label[some]]
    return label, cosine


def spherical_kmeans(X: np.ndarray, k: int, *, seed: int, n_iterations: int = 10) -> np.ndarray:
    """Centroids [k, d] float32 of rows [n, d] float32, all of length 1; at most as many as there are distinct rows.

    Raises
    ------
    ValueError
        If there are no rows, or k is below 1.
    """
    from scipy.sparse import csr_array

    if k < 1 or not len(X):
        raise ValueError(f"k must be at least 1 and there must be rows, got {k} for {len(X)} rows.")
    distinct = np.unique(X, axis=0, return_index=True)[1] if k > len(X) // 2 else np.arange(len(X))
    k = min(k, len(distinct))
    centroids = X[np.sort(np.random.default_rng(seed).choice(distinct, k, replace=False))]
    for _ in range(n_iterations):
        label, cosine = nearest(X, centroids)
        member = csr_array((np.ones(len(X), np.float32), (label, np.arange(len(X)))), shape=(k, len(X)))
        sums = np.asarray(member @ X, np.float32)
        empty = np.flatnonzero(np.bincount(label, minlength=k) == 0)
        sums[empty] = X[np.argsort(cosine, kind="stable")[: len(empty)]]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centroids)  # opposite rows may add up to 0
        if np.array_equal(moved, centroids):
            break
        centroids = moved.astype(np.float32)
    return np.asarray(centroids, np.float32)
