"""What a retriever gives: the first documents of each query with their scores, best first, ties by position.

Cost: O(n) a query for n documents, and O(c log c) for the c that reach the score of the last one kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NONE = -1
"""In place of a document where fewer were found than asked for."""


@dataclass(frozen=True)
class Ranked:
    """The first k documents of each query."""

    documents: np.ndarray
    """[q, k] int64 positions; NONE, always at the end, where there are no more."""
    scores: np.ndarray
    """[q, k] float32, falling; -inf where there is no document."""

    def __post_init__(self) -> None:
        """Refuse what isn't one.

        Raises
        ------
        ValueError
            If shapes differ, or a score of a document isn't a number.
        """
        if self.documents.shape != self.scores.shape or self.documents.ndim != 2 or np.isnan(self.scores).any():
            raise ValueError(
                f"documents and scores must be [queries, k] alike without NaN, got {self.documents.shape} and "
                f"{self.scores.shape} with {int(np.isnan(self.scores).sum())} NaN."
            )

    def first(self, k: int) -> "Ranked":
        """Of each query the first k alone."""
        return Ranked(self.documents[:, :k], self.scores[:, :k])


def first_k(scores: np.ndarray, *, k: int, positions: np.ndarray | None = None) -> Ranked:
    """The k highest of scores [q, n], ties by column; -inf is no document. `positions` [q, n] names the columns.

    Raises
    ------
    ValueError
        If k isn't positive, or a score is NaN.
    """
    if k < 1 or np.isnan(scores).any():
        raise ValueError(f"k must be at least 1 and scores without NaN, got {k} and {int(np.isnan(scores).sum())} NaN.")
    documents = np.full((len(scores), k), NONE, np.int64)
    kept = np.full((len(scores), k), -np.inf, np.float32)
    for query, row in enumerate(scores):
        columns = _highest(row, k)
        documents[query, : len(columns)] = columns if positions is None else positions[query, columns]
        kept[query, : len(columns)] = row[columns]
    return Ranked(documents, kept)


def stacked(parts: Sequence[Ranked]) -> Ranked:
    """The rankings of one set of queries after another as one."""
    return Ranked(np.concatenate([one.documents for one in parts]), np.concatenate([one.scores for one in parts]))


def _highest(row: np.ndarray, k: int) -> np.ndarray:
    """The columns of the k highest of [n], best first, the first of equal ones first; none of -inf."""
    least = np.partition(row, len(row) - k)[len(row) - k] if k < len(row) else -np.inf
    found = np.flatnonzero((row >= least) & (row > -np.inf))
    return found[np.argsort(-row[found], kind="stable")][:k]
