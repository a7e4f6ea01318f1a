"""Weighted vote: a function counts by the log odds of its accuracy, which is its agreement with the others' majority.

Source: S. Nitzan and J. Paroush, Optimal decision rules in uncertain dichotomous choice situations, International
Economic Review 1982, theorem 1 (the weight log(a / (1 - a)); for k classes with errors spread evenly log((k - 1) a /
(1 - a))). The accuracy without labels is that against the majority of the other functions.
Departures: where the others tie, each of their classes counts by its share; accuracies are smoothed by one row (half of
it right) and kept at chance or above, so that no vote is turned round.
Cost: O(p m k) for p distinct rows of votes.
"""

import numpy as np

from raypipe.label.label_model import LabelModel, vote_by_accuracy
from raypipe.label.votes import ABSTAIN, VoteCounts, Votes


class WeightedVote(LabelModel):
    """Votes weighed by how often a function agrees with the others.

    >>> import numpy as np
    >>> votes = np.array([[0, 0, -1], [1, 1, 0], [-1, 1, 1], [0, 0, 1]])  # of three functions; -1 abstains
    >>> WeightedVote().fit(votes).predict(votes).tolist()
    [0, 1, 1, 0]
    """

    accuracy_: np.ndarray
    LEARNED = ("prior_", "accuracy_")

    def __init__(self, *, n_classes: int = 2, class_balance: tuple[float, ...] | None = None) -> None:
        """`class_balance`: the prior; None: every class alike."""
        self.n_classes = n_classes
        self.class_balance = class_balance

    def _learn(self, seen: VoteCounts) -> None:
        """Accuracy [m] of each function when it votes, against the majority of the others."""
        cast = seen.outcomes(self.n_classes, abstentions=False)  # [p, m, k]
        others = cast.sum(axis=1, keepdims=True) - cast
        best = (others == others.max(axis=2, keepdims=True)) & (others > 0)
        share = best / np.maximum(best.sum(axis=2, keepdims=True), 1)
        judged = (seen.patterns != ABSTAIN) & best.any(axis=2)
        right = (seen.counts[:, None] * (cast * share).sum(axis=2)).sum(axis=0)
        total = (seen.counts[:, None] * judged).sum(axis=0)
        self.accuracy_ = np.clip((right + 0.5) / (total + 1), 1 / self.n_classes, 0.99)

    def _answer(self, votes: Votes) -> np.ndarray:
        return vote_by_accuracy(votes, self.accuracy_, self.prior_)
