"""Learned labelling functions of two classes, and several classes by one against the rest.

Source: N. Roberts et al., AutoWS-Bench-101, NeurIPS 2022, section 3: binary methods are run once for each class; where
a run's functions vote for the rest they abstain, and one label model weighs the votes of all runs.
Departures: the label model is `weighted_vote`.
Cost: k times that of a method.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raypipe.label.autows.heuristics import FeatureModels, votes_of
from raypipe.label.votes import ABSTAIN, Votes
from raypipe.label.weighted_vote import WeightedVote


@dataclass(frozen=True)
class Rules:
    """Some of the candidates, each with its band; they may be of several fits."""

    candidates: tuple[FeatureModels, ...]
    numbers: tuple[int, ...]
    bands: tuple[float, ...]

    def votes(self, X: np.ndarray) -> Votes:
        """[n, d] -> [n, m]."""
        asked = zip(self.candidates, self.numbers, self.bands, strict=True)
        columns = [votes_of(one.probability(X)[:, [number]], band) for one, number, band in asked]
        return np.concatenate(columns, axis=1)


Learner = Callable[[np.ndarray, np.ndarray, np.ndarray], Rules]
"""PoolLabels rows [n, d], classes 0 or 1 [n], further rows [u, d] -> rules."""


@dataclass(frozen=True)
class PoolLabels:
    """What is said of the further rows."""

    probability: np.ndarray  # [u, k]
    covered: np.ndarray  # [u] bool: whether some rule votes


def marginals(rules: Rules, fit_on: np.ndarray, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of class 1 of rows X [n] by the rules' votes, weighed on rows without labels; and who is covered."""
    votes, asked = rules.votes(fit_on), rules.votes(X)
    if not (votes != ABSTAIN).any():
        return np.full(len(X), 0.5), np.zeros(len(X), bool)
    found = WeightedVote().fit(votes).predict_proba(asked)[:, 1]
    return found, (asked != ABSTAIN).any(axis=1)


def one_against_rest(learn: Learner, X: np.ndarray, y: np.ndarray, pool: np.ndarray, *, n_classes: int) -> PoolLabels:
    """The pool [u, d] labelled by rules that are learned from labelled rows [n, d] of classes [n].

    Raises
    ------
    ValueError
        If there are fewer than two classes, or a class has no labelled row.
    """
    present = np.unique(y)
    if n_classes < 2 or len(present) < n_classes:
        raise ValueError(
            f"each of two or more classes must have a labelled row, got rows of {len(present)} of {n_classes}."
        )
    if n_classes == 2:
        one, covered = marginals(learn(X, y, pool), pool, pool)
        return PoolLabels(np.column_stack([1 - one, one]), covered)
    runs = [learn(X, (y == label).astype(int), pool) for label in range(n_classes)]
    votes = np.column_stack([np.where(run.votes(pool) == 1, label, ABSTAIN) for label, run in enumerate(runs)])
    covered = (votes != ABSTAIN).any(axis=1)
    if not covered.any():
        return PoolLabels(np.full((len(pool), n_classes), 1 / n_classes), covered)
    return PoolLabels(WeightedVote(n_classes=n_classes).fit(votes).predict_proba(votes), covered)
