"""Orders of rows: how two agree, and how far some rows lie above others."""

import numpy as np


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation over the rows where both are finite, ties at their mean rank.

    NaN with fewer than three such rows, or where either is constant.
    """
    from scipy.stats import rankdata

    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < 3:
        return float("nan")
    ranks = np.stack([rankdata(x[known]), rankdata(y[known])])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    return float(ranks[0] @ ranks[1] / norms.prod()) if norms.all() else float("nan")


def share_below(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each row the share of the others that it is above, a tie counting half: [m], [n] -> [m] in [0, 1].

    Its mean is the area under the ROC curve.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([rows, others]))[: len(rows)]
    found: np.ndarray = (ranks - rankdata(rows)) / len(others)
    return found
