"""The first documents of a ranking put in a new order by whatever scores a query and a document together.

Source: R. Nogueira and K. Cho, Passage Re-ranking with BERT, arXiv 1901.04085, section 2.
Cost: one score for each query and each of its first documents.
"""

from collections.abc import Callable, Sequence

import numpy as np

from raypipe.retrieve.ranking import NONE, Ranked, first_k

PairScorer = Callable[[Sequence[tuple[str, str]]], np.ndarray]
"""(query, document) pairs -> [n] float32, higher is more relevant: the hook; CrossEncoder is one."""


def reranked(
    ranking: Ranked, queries: Sequence[str], documents: Sequence[str], *, score: PairScorer, depth: int
) -> Ranked:
    """The first `depth` documents of each query by their new scores, ties by position; what stood below is left out.

    Raises
    ------
    ValueError
        If depth isn't positive, or the scorer gives another number of scores, or NaN.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}.")
    top = ranking.first(depth).documents
    rows, columns = np.nonzero(top != NONE)
    pairs = [(queries[row], documents[at]) for row, at in zip(rows.tolist(), top[rows, columns].tolist(), strict=True)]
    given = np.asarray(score(pairs), np.float32) if pairs else np.zeros(0, np.float32)
    if given.shape != (len(pairs),) or np.isnan(given).any():
        raise ValueError(f"a reranker must give a number, not NaN, for each of {len(pairs)} pairs, got {given.shape}.")
    scores = np.full(top.shape, -np.inf, np.float32)
    scores[rows, columns] = given
    in_order = np.argsort(np.where(top == NONE, np.iinfo(np.int64).max, top), axis=1, kind="stable")
    return first_k(
        np.take_along_axis(scores, in_order, axis=1), k=top.shape[1],
        positions=np.take_along_axis(top, in_order, axis=1),
    )  # fmt: skip
