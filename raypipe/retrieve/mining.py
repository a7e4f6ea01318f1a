"""Hard negatives out of a ranking: documents that are found high for a query, and clearly less fit than its positive.

Sources: KaLM-Embedding-V2, arXiv 2506.20923 (drawn from a window of ranks, 50 to 100; a pair whose own positive isn't
found among the first is dropped); LG-ANNA-Embedding, arXiv 2506.07438, after G. de Souza P. Moreira et al.,
NV-Retriever, arXiv 2407.15831, section 3.2 (a document counts as a negative only below .95 times the positive's score).
Departures: a threshold that is a share needs scores above 0, and so a pair whose positive has none is dropped and
counted; who asks with a cross-encoder's logits brings them to (0, 1) first.
Cost: O(p k) for p pairs and k ranked documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.retrieve.ranking import NONE, Ranked

NOT_FOUND, NO_SCORE, TOO_FEW = "positive isn't found among the first", "positive's score isn't above 0", "few negatives"


@dataclass(frozen=True, kw_only=True)
class Mining:
    """Which documents of a ranking are a pair's negatives."""

    n_negatives: int = 7
    """Of each pair; a pair that has fewer is dropped."""
    first_rank: int = 50
    """From which rank on, 1 being the best: higher ones are too often relevant, and not said to be."""
    last_rank: int = 100
    """Up to which rank."""
    margin: float = 0.95
    """A negative's score is below this share of the positive's; 0: whatever it is."""
    positive_within: int | None = 50
    """A pair is dropped whose positive is ranked below that; None: it may be ranked anywhere, or nowhere."""

    def check(self, *, depth: int) -> None:
        """Refuse what no ranking of this depth can give.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        if not 1 <= self.first_rank <= self.last_rank <= depth:
            raise ValueError(
                f"first_rank and last_rank must be ranks from 1 to --depth ({depth}), in order, got {self.first_rank} "
                f"and {self.last_rank}."
            )
        if not 1 <= self.n_negatives <= self.last_rank - self.first_rank + 1:
            raise ValueError(
                f"n_negatives must be between 1 and the {self.last_rank - self.first_rank + 1} ranks from first_rank "
                f"to last_rank, got {self.n_negatives}."
            )
        if not self.margin >= 0:
            raise ValueError(f"margin must be at least 0, got {self.margin}.")
        if self.positive_within is not None and not 1 <= self.positive_within <= depth:
            raise ValueError(f"positive_within must be between 1 and --depth ({depth}), got {self.positive_within}.")


@dataclass(frozen=True)
class Mined:
    """The pairs that have negatives, and why others haven't."""

    pairs: np.ndarray
    """[p] int64: positions of the pairs that are kept."""
    negatives: np.ndarray
    """[p, n] int64: documents, best ranked first."""
    scores: np.ndarray
    """[p, n] float32: theirs."""
    dropped: Mapping[str, int]
    """Reason -> how many pairs."""


def mine(
    ranking: Ranked,
    scores: np.ndarray,
    relevance: Sequence[Mapping[int, float]],
    pairs: np.ndarray,
    pair_scores: np.ndarray,
    settings: Mining,
    *,
    seed: int = 0,
) -> Mined:
    """Negatives of each pair [p, 2] of a query and its positive, drawn evenly from those that may be.

    `scores` [q, k] are a teacher's of the ranked documents, `pair_scores` [p] of the positives; `relevance` says what
    is relevant to each query, and so never a negative of it.

    Raises
    ------
    ValueError
        If shapes don't fit, or a score of a ranked document or of a pair is NaN.
    """
    settings.check(depth=ranking.documents.shape[1])
    found = ranking.documents != NONE
    if scores.shape != ranking.documents.shape or len(pairs) != len(pair_scores):
        raise ValueError(f"scores must be of each ranked document and pair, got {scores.shape}, {pair_scores.shape}.")
    if np.isnan(scores[found]).any() or np.isnan(pair_scores).any():
        raise ValueError("scores of ranked documents and of pairs must be numbers, got NaN.")
    kept: list[tuple[int, np.ndarray, np.ndarray]] = []
    dropped: dict[str, int] = {}
    for at, ((query, positive), score) in enumerate(zip(pairs.tolist(), pair_scores.tolist(), strict=True)):
        row = ranking.documents[query]
        if settings.positive_within is not None and positive not in row[: settings.positive_within]:
            reason = NOT_FOUND
        elif settings.margin and score <= 0:
            reason = NO_SCORE
        else:
            columns = _admitted(row, scores[query], relevance[query], settings, score)
            if len(columns) >= settings.n_negatives:
                rng = np.random.default_rng([seed, at])
                drawn = np.sort(rng.choice(columns, settings.n_negatives, replace=False))
                kept.append((at, row[drawn], scores[query, drawn]))
                continue
            reason = TOO_FEW
        dropped[reason] = dropped.get(reason, 0) + 1
    n = settings.n_negatives
    return Mined(
        np.array([at for at, _, _ in kept], np.int64),
        np.array([documents for _, documents, _ in kept], np.int64).reshape(-1, n),
        np.array([values for _, _, values in kept], np.float32).reshape(-1, n),
        dropped,
    )


def _admitted(
    row: np.ndarray, scores: np.ndarray, relevant: Mapping[int, float], settings: Mining, score: float
) -> np.ndarray:
    """Columns of a query's ranking that may be negatives of a pair with this score."""
    columns = np.arange(settings.first_rank - 1, settings.last_rank)
    is_one = row[columns] != NONE
    is_one &= ~np.isin(row[columns], [*relevant])
    if settings.margin:
        is_one &= scores[columns] < settings.margin * score
    return np.asarray(columns[is_one])
