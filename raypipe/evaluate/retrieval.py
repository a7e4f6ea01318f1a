"""How well documents are ranked for queries: nDCG, recall and reciprocal rank of the first k.

Source: K. Järvelin and J. Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques, TOIS 20, 2002, as trec_eval
computes it: the gain is the judgement itself, divided by log2(1 + rank), over the best order of all that is judged;
recall and reciprocal rank: C. Manning et al., Introduction to Information Retrieval, 2008, chapter 8. Anything judged
above 0 is relevant.
Cost: O(q k); intervals O(resamples q).
"""

from collections.abc import Mapping

import numpy as np

from raypipe.arrays.bootstrap import drawn_counts
from raypipe.evaluate.task_means import Estimate


def ndcg_of_first(gain: np.ndarray, judged: np.ndarray, *, k: int) -> np.ndarray:
    """nDCG at k: gains in ranked order [q, n], all that is judged [q, j] -> [q], NaN where nothing is relevant.

    >>> import numpy as np
    >>> ndcg_of_first(np.array([[0, 1, 0]]), np.array([[1]]), k=3).round(3).tolist()
    [0.631]

    Raises
    ------
    ValueError
        If they aren't of as many queries, there is none, or k isn't positive.
    """
    _check(gain, judged, k)
    best = -np.sort(-np.maximum(judged, 0), axis=1)
    return _share(_discounted(np.maximum(gain, 0), k), _discounted(best, k))


def recall_of_first(gain: np.ndarray, judged: np.ndarray, *, k: int) -> np.ndarray:
    """The share of all that is relevant among the first k: [q, n], [q, j] -> [q], NaN where nothing is.

    Raises
    ------
    ValueError
        As ndcg_of_first.
    """
    _check(gain, judged, k)
    return _share((gain[:, :k] > 0).sum(axis=1).astype(float), (judged > 0).sum(axis=1).astype(float))


def reciprocal_rank(gain: np.ndarray, judged: np.ndarray, *, k: int) -> np.ndarray:
    """1 / rank of the first relevant document, 0 where none is among the first k: [q, n], [q, j] -> [q], NaN likewise.

    >>> import numpy as np
    >>> reciprocal_rank(np.array([[0, 1, 0]]), np.array([[1]]), k=3).tolist()
    [0.5]

    Raises
    ------
    ValueError
        As ndcg_of_first.
    """
    _check(gain, judged, k)
    is_relevant = gain[:, :k] > 0
    first = 1.0 / (1 + is_relevant.argmax(axis=1)) if gain[:, :k].shape[1] else np.zeros(len(gain))
    return np.where((judged > 0).any(axis=1), np.where(is_relevant.any(axis=1), first, 0.0), np.nan)


def means_over_queries(
    values: Mapping[str, np.ndarray], *, seed: int = 0, n_resamples: int = 2000
) -> dict[str, Estimate]:
    """The mean of each value [q] over queries, NaN apart, and the middle 95 % of resamples of queries.

    Values are resampled together, and so the difference of two is paired.

    Raises
    ------
    ValueError
        If a value has no query.
    """
    matrix = np.stack([*values.values()], axis=1)  # [q, v]
    if not len(matrix) or np.isnan(matrix).all(axis=0).any():
        raise ValueError(f"each value must have a query to be the mean of, got {matrix.shape[0]} queries.")
    weight, filled = ~np.isnan(matrix), np.nan_to_num(matrix)
    with np.errstate(invalid="ignore"):
        drawn = [
            (counts @ filled) / (counts @ weight)
            for counts in drawn_counts(len(matrix), n_resamples=n_resamples, seed=seed)
        ]
    low, high = np.nanquantile(np.concatenate(drawn), [0.025, 0.975], axis=0)
    mean = filled.sum(axis=0) / weight.sum(axis=0)
    return {name: Estimate(float(mean[at]), float(low[at]), float(high[at])) for at, name in enumerate(values)}


def _discounted(gain: np.ndarray, k: int) -> np.ndarray:
    first = gain[:, :k]
    return np.asarray((first / np.log2(2 + np.arange(first.shape[1]))).sum(axis=1))


def _share(found: np.ndarray, of: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(found, of, out=np.full(len(of), np.nan), where=of > 0))


def _check(gain: np.ndarray, judged: np.ndarray, k: int) -> None:
    if gain.ndim != 2 or judged.ndim != 2 or len(gain) != len(judged) or not len(gain) or k < 1:
        raise ValueError(
            "gain and judged must be [queries, n] of the same queries, at least one, and k at least 1, got "
            f"{gain.shape}, {judged.shape} and k {k}."
        )
