"""Triplets: a function's accuracy in closed form, from how often it and two others agree in pairs.

Source: D. Fu et al., Fast and three-rious: speeding up weak supervision with triplet methods, ICML 2020, section 3.2.
For k classes: with errors spread evenly over the wrong classes, of two functions independent given the class
(k agreement - 1) / (k - 1) = s_i s_j, where accuracy = (1 + (k - 1) s) / k, whatever the class shares are; hence
|s_i| = sqrt(s_ij s_ih / s_jh).
Departures: the median over all pairs (j, h), weighted by the rows that the three share, not one triplet; s is kept at
chance or above and below .98.
Cost: O(p m^2) for the agreements of p distinct rows of votes, O(m^3) for the triplets.
"""

import numpy as np

from raypipe.label.label_model import LabelModel, vote_by_accuracy
from raypipe.label.votes import ABSTAIN, VoteCounts, Votes

FAINT = 0.02
"""Pairs whose agreement is nearer to chance than this divide nothing: the ratio would be noise."""


class Triplets(LabelModel):
    """Accuracies from agreements of threes.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 2000)
    >>> accuracy = np.array([0.9, 0.8, 0.7])
    >>> votes = np.where(rng.random((2000, 3)) < accuracy, truth[:, None], 1 - truth[:, None])
    >>> Triplets().fit(votes).accuracy_.round(1).tolist()
    [0.9, 0.8, 0.7]
    """

    accuracy_: np.ndarray
    LEARNED = ("prior_", "accuracy_")

    def __init__(self, *, n_classes: int = 2, class_balance: tuple[float, ...] | None = None) -> None:
        """`class_balance`: the prior; None: every class alike."""
        self.n_classes = n_classes
        self.class_balance = class_balance

    def _learn(self, seen: VoteCounts) -> None:
        """Sets `accuracy_` [m] of each function when it votes.

        Raises
        ------
        ValueError
            If there are fewer than three functions.
        """
        m, k = seen.patterns.shape[1], self.n_classes
        if m < 3:
            raise ValueError(f"triplets need three labelling functions at least, got {m}; use majority_vote.")
        above_chance, together = _agreements(seen, k)
        strengths = [_strength(above_chance, together, i) for i in range(m)]
        self.accuracy_ = (1 + (k - 1) * np.clip(strengths, 0.0, 0.98)) / k

    def _answer(self, votes: Votes) -> np.ndarray:
        return vote_by_accuracy(votes, self.accuracy_, self.prior_)


def _agreements(seen: VoteCounts, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """How far above chance each pair agrees [m, m], 0 where it never votes together, and how often it does [m, m]."""
    voted = (seen.patterns != ABSTAIN).astype(np.float64)
    together = (voted * seen.counts[:, None]).T @ voted
    same = np.zeros_like(together)
    for label in range(n_classes):
        cast = (seen.patterns == label).astype(np.float64)
        same += (cast * seen.counts[:, None]).T @ cast
    rate = np.divide(same, together, out=np.full_like(same, 1 / n_classes), where=together > 0)
    return (n_classes * rate - 1) / (n_classes - 1), together


def _strength(above_chance: np.ndarray, together: np.ndarray, i: int) -> float:
    """|s_i|: weighted median over pairs of others; of none, how far it agrees with anybody."""
    others = np.delete(np.arange(len(above_chance)), i)
    j, h = (others[at] for at in np.triu_indices(len(others), k=1))
    usable = above_chance[j, h] > FAINT
    weight = np.minimum.reduce([together[i, j], together[i, h], together[j, h]]) * usable
    if not weight.any():
        return float(np.clip(above_chance[i, others].max(), 0, 1))
    product = np.maximum(above_chance[i, j] * above_chance[i, h], 0)
    squares = np.divide(product, above_chance[j, h], out=np.zeros_like(product), where=usable)
    order = np.argsort(squares, kind="stable")
    reached = np.cumsum(weight[order])
    return float(np.sqrt(squares[order][np.searchsorted(reached, reached[-1] / 2)]))
