"""Reciprocal rank fusion: several rankings become one by where they place a document, whatever their scores mean.

Source: G. Cormack et al., Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank Learning Methods, SIGIR
2009: the sum over rankings of 1 / (60 + rank), ranks from 1 on; a ranking without a document adds nothing for it.
Cost: O(q k log k) for the k documents of all rankings of a query together.
"""

from collections.abc import Sequence

import numpy as np

from raypipe.retrieve.ranking import NONE, Ranked, first_k, stacked

CONSTANT = 60


def fused(rankings: Sequence[Ranked], *, k: int, constant: int = CONSTANT) -> Ranked:
    """The first k documents of each query by all rankings together.

    Raises
    ------
    ValueError
        If there is no ranking, or they aren't of as many queries.
    """
    if len({len(one.documents) for one in rankings}) != 1:
        raise ValueError(f"rankings must be of the same queries, got {[len(one.documents) for one in rankings]}.")
    documents = np.concatenate([one.documents for one in rankings], axis=1)
    ranks = np.concatenate([np.arange(one.documents.shape[1]) for one in rankings])
    found = [_first_of_query(row, 1 / (constant + 1 + ranks), k) for row in documents]
    return stacked(found or [first_k(np.zeros((0, 1)), k=k)])


def _first_of_query(documents: np.ndarray, shares: np.ndarray, k: int) -> Ranked:
    """Of one query: documents [m], as often as rankings have them, and what each place gives [m]."""
    is_one = documents != NONE
    found, of = np.unique(documents[is_one], return_inverse=True)
    total = np.bincount(of, weights=shares[is_one], minlength=len(found))
    return first_k(total[None], k=k, positions=found[None])
