"""Vectors of 2k dimensions that return every set of k documents: a construction, with the margin that it leaves.

Source: dossier of LIMIT, check 3: documents lie on the moment curve (t, t^2, ..., t^2k), and the query of a set is the
coefficients of -prod (t - a)^2 over its members a, without the constant: its inner product with a document is that
polynomial, which is highest, at one and the same value, exactly on the set. It shows that a small dimension is enough
where training stops far below, so that what training can't do isn't the dimension's fault alone.
Departure: t is spread evenly over [-1, 1], which keeps the powers of one size.
Cost: O(q n k); float64, whose digits end what it can tell apart.
"""

import numpy as np


def documents(n: int, *, k: int = 2) -> np.ndarray:
    """Points of the curve [n, 2k], float64."""
    t = np.linspace(-1, 1, n)
    return t[:, None] ** np.arange(1, 2 * k + 1)


def queries(sets: np.ndarray, *, n: int) -> np.ndarray:
    """The query [q, 2k] of each set [q, k] of documents of n."""
    t = np.linspace(-1, 1, n)
    found = []
    for members in t[sets]:
        roots = np.repeat(members, 2)
        found.append(-np.poly(roots)[-2::-1])  # from the power 1 on; the constant is the same for all documents
    return np.array(found).reshape(len(sets), 2 * sets.shape[1])


def margins(score: np.ndarray, is_relevant: np.ndarray) -> np.ndarray:
    """By how much the lowest relevant document is above the highest other: [q, n] each -> [q]; an error is below 0.

    Raises
    ------
    ValueError
        If a query has no relevant document, or no other.
    """
    if not (is_relevant.any(axis=1).all() and (~is_relevant).any(axis=1).all()):
        raise ValueError("each query must have a relevant document and another one.")
    low = np.where(is_relevant, score, np.inf).min(axis=1)
    high = np.where(is_relevant, -np.inf, score).max(axis=1)
    return np.asarray(low - high)
