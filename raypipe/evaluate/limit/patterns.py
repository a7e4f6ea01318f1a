"""Which documents are relevant to which query: patterns of k = 2 of n documents, from the densest to the easiest.

Source: O. Weller et al., On the Theoretical Limitations of Embedding-Based Retrieval, arXiv 2508.21038: the LIMIT set
(dense: the first pairs of the fewest documents that have as many) and its rivals of the same number of queries.
Departure: dense takes pairs in the order of itertools, theirs may have another; which are left out is a detail.
Cost: O(q).
"""

from itertools import combinations, islice
from math import comb

import numpy as np


def dense(n_queries: int) -> np.ndarray:
    """The first pairs [q, 2] of the fewest documents that have so many."""
    n = 2
    while comb(n, 2) < n_queries:
        n += 1
    return np.array([*islice(combinations(range(n), 2), n_queries)], np.int64).reshape(-1, 2)


def random_pairs(n_queries: int, *, n_documents: int, seed: int) -> np.ndarray:
    """Pairs [q, 2] of different documents, none twice.

    Raises
    ------
    ValueError
        If there aren't so many.
    """
    every = [*combinations(range(n_documents), 2)]
    if len(every) < n_queries:
        raise ValueError(f"n_queries must be at most the {len(every)} pairs of {n_documents}, got {n_queries}.")
    chosen = np.random.default_rng(seed).choice(len(every), n_queries, replace=False)
    return np.array(every, np.int64)[np.sort(chosen)]


def cycle(n_queries: int) -> np.ndarray:
    """Neighbours [q, 2] on a circle of as many documents as queries."""
    at = np.arange(n_queries)
    return np.stack([at, (at + 1) % n_queries], axis=1)


def disjoint(n_queries: int) -> np.ndarray:
    """Pairs [q, 2] without a document in common."""
    return np.arange(2 * n_queries).reshape(-1, 2)


def relevance(pairs: np.ndarray, *, n_documents: int) -> np.ndarray:
    """Pairs [q, k] as is_relevant [q, n] bool."""
    found = np.zeros((len(pairs), n_documents), bool)
    np.put_along_axis(found, pairs, True, axis=1)
    return found
