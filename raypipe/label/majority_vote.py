"""Majority vote: a class has as much probability as votes; what every label model must beat.

Source: the baseline of A. Ratner et al., Snorkel: rapid training data creation with weak supervision, VLDB 2018, 3.1.
Departures: ties stay ties in the probabilities; predict takes the first of them.
Cost: O(n m).
"""

import numpy as np

from raypipe.label.label_model import LabelModel
from raypipe.label.votes import VoteCounts, Votes, vote_shares


class MajorityVote(LabelModel):
    """Every labelling function counts the same.

    >>> import numpy as np
    >>> votes = np.array([[0, 0, -1], [1, 1, 0], [-1, 1, 1], [0, 0, 1]])  # of three functions; -1 abstains
    >>> MajorityVote().fit(votes).predict(votes).tolist()
    [0, 1, 1, 0]
    """

    def __init__(self, *, n_classes: int = 2, class_balance: tuple[float, ...] | None = None) -> None:
        """`class_balance`: probabilities of a row without votes; None: every class alike."""
        self.n_classes = n_classes
        self.class_balance = class_balance

    def _learn(self, seen: VoteCounts) -> None:
        pass  # there is nothing to learn

    def _answer(self, votes: Votes) -> np.ndarray:
        return vote_shares(votes, self.n_classes)
