"""What a scorer in 8-bit floats costs: how well it orders documents of the very corpus as bfloat16 would.

A small model suffers most: SmolLM2-135M with all products of its layers in e4m3 ordered 900 documents with a rank
correlation of .994 to float32, .96 in the worst domain. So 8 bits are never the default, and each run measures its own.
Sparing layers buys little: with either half of them in bfloat16 it was still below .996 (jobs/benchmark/RESULTS.md).
"""

from dataclasses import dataclass

import numpy as np

from raypipe.arrays.ranks import spearman

MIN_DOCUMENTS = 20
"""Of a domain, for a rank correlation of its own."""
TOP = 0.2


@dataclass(frozen=True)
class Agreement:
    """How one number format orders documents against another."""

    score: str
    """The column compared."""
    documents: int
    rank_correlation: float
    """Spearman's, over all documents."""
    worst_domain: str | None
    """The domain with the lowest one, of those with MIN_DOCUMENTS; None: no domain has so many."""
    worst_rank_correlation: float | None
    same_top: float
    """Share of the best fifth that is in the other's best fifth."""


def agreement(name: str, scores: np.ndarray, reference: np.ndarray, domains: np.ndarray) -> Agreement:
    """Scores [n], those of the reference [n] and domains [n]; rows where either is NaN don't count."""
    known = np.isfinite(scores) & np.isfinite(reference)
    scores, reference, domains = scores[known], reference[known], domains[known]
    large = [domain for domain in np.unique(domains) if (domains == domain).sum() >= MIN_DOCUMENTS]
    within = {str(domain): spearman(scores[domains == domain], reference[domains == domain]) for domain in large}
    worst = min(within, key=lambda domain: within[domain], default=None)
    n_top = max(1, int(len(scores) * TOP))
    best, expected = (set(np.argsort(-values, kind="stable")[:n_top]) for values in (scores, reference))
    return Agreement(
        name, len(scores), spearman(scores, reference), worst, None if worst is None else within[worst],
        len(best & expected) / n_top,
    )  # fmt: skip
