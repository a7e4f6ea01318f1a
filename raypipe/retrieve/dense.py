"""The documents whose vectors are nearest to a query's, exactly: products of matrices, a block of documents at a time.

No index library: faiss and usearch come into their own where an answer may be approximate; exact ones are the same
product of matrices, and an evaluation wants exact ones.
Cost: O(q n d); [queries, BLOCK] float32 beside the vectors.
"""

import numpy as np

from raypipe.retrieve.ranking import Ranked, first_k, stacked

BLOCK = 16_384
"""Documents compared together."""
QUERIES = 1024


def nearest(queries: np.ndarray, documents: np.ndarray, *, k: int, is_cosine: bool = True) -> Ranked:
    """The first k documents of each query: [q, d], [n, d] -> by cosine or by inner product, float32.

    A row of NaN has no vector: such a document isn't found, and such a query finds nothing. A vector of length 0 has
    the cosine 0 with every other.

    Raises
    ------
    ValueError
        If dimensions differ or there is no document.
    """
    if queries.ndim != 2 or documents.ndim != 2 or queries.shape[1] != documents.shape[1] or not len(documents):
        raise ValueError(
            "queries and documents must be vectors of the same dimensions, and at least one document, got "
            f"{queries.shape} and {documents.shape}; embed both with the same model and --dimensions."
        )
    parts = [_of_some(queries[at : at + QUERIES], documents, k, is_cosine) for at in range(0, len(queries), QUERIES)]
    parts = parts or [first_k(np.zeros((0, len(documents))), k=k)]
    return stacked(parts)


def _of_some(queries: np.ndarray, documents: np.ndarray, k: int, is_cosine: bool) -> Ranked:
    Q = _prepared(queries, is_cosine)
    best = Ranked(np.full((len(Q), 0), -1, np.int64), np.full((len(Q), 0), -np.inf, np.float32))
    for start in range(0, len(documents), BLOCK):
        X = _prepared(documents[start : start + BLOCK], is_cosine)
        scores = Q @ X.T
        scores[np.isnan(scores)] = -np.inf
        at = np.broadcast_to(np.arange(start, start + len(X)), scores.shape)
        # those kept so far stand before this block, so that ties stay in the order of documents
        best = first_k(
            np.concatenate([best.scores, scores], axis=1), k=k, positions=np.concatenate([best.documents, at], axis=1)
        )
    return best


def _prepared(X: np.ndarray, is_cosine: bool) -> np.ndarray:
    X = X.astype(np.float32)
    return np.asarray(X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)) if is_cosine else X
