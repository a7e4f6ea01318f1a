"""Snuba: labelling functions are made, picked and verified in rounds, each on the rows that are still in doubt.

Source: P. Varma and C. Re, Snuba: Automating Weak Supervision to Label Training Data, VLDB 2018, section 3 and
algorithm 1: candidates of single features; the best by accuracy on the labelled rows and by what they add to coverage;
a label model's marginals; the next round looks at labelled rows whose marginal is near 1/2.
Departures: as in AutoWS-Bench-101, three heuristics in the first round and one in each later one, 23 rounds at most;
the label model is `weighted_vote`, whose accuracies come from agreement, not by gradient descent.
Cost: O(rounds n d) for the candidates, and a label model a round.
"""

import numpy as np

from raypipe.label.autows.heuristics import FeatureModels, best_bands, votes_of, weighted_f1
from raypipe.label.autows.rules import Rules, marginals
from raypipe.label.votes import ABSTAIN

FIRST, MAX_ROUNDS = 3, 23


def snuba(X: np.ndarray, y: np.ndarray, pool: np.ndarray, *, max_rounds: int = MAX_ROUNDS) -> Rules:
    """Rules from labelled rows [n, d] of classes 0 and 1, and rows [u, d] without labels."""
    chosen, covered, focus = Rules((), (), ()), np.zeros(len(pool), bool), np.ones(len(X), bool)
    for turn in range(max_rounds):
        if len(np.unique(y[focus])) < 2:
            break
        chosen, covered = _with_best(chosen, covered, X, y, pool, focus, n=1 if turn else FIRST)
        certainty = abs(marginals(chosen, pool, X)[0] - 0.5)
        focus = certainty <= 0.5 - len(chosen.numbers) ** -1.5
        if not focus.any():
            break
    return chosen


def _with_best(
    chosen: Rules, covered: np.ndarray, X: np.ndarray, y: np.ndarray, pool: np.ndarray, focus: np.ndarray, *, n: int
) -> tuple[Rules, np.ndarray]:
    """The n best candidates of the rows in focus beside those that are chosen, and what all of them cover."""
    made = FeatureModels.fit(X[focus], y[focus])
    labelled = made.probability(X)
    bands = best_bands(labelled[focus], y[focus])
    votes = votes_of(made.probability(pool), bands) != ABSTAIN  # [u, m]
    both, either = (votes & covered[:, None]).sum(axis=0), (votes | covered[:, None]).sum(axis=0)
    news = 1 - both / np.maximum(either, 1) if covered.any() else np.ones(votes.shape[1])
    score = (weighted_f1(votes_of(labelled, bands), y) + news) / 2
    best = np.argsort(-score, kind="stable")[:n]
    more = Rules(
        chosen.candidates + (made,) * len(best), (*chosen.numbers, *best.tolist()), (*chosen.bands, *bands[best])
    )
    return more, covered | votes[:, best].any(axis=1)
