"""Interactive weak supervision: which of many candidate functions are useful is learned by asking about a few.

Source: B. Boecking et al., Interactive Weak Supervision, ICLR 2021, section 3 (the straddle acquisition of algorithm
1); as in AutoWS-Bench-101 the person is played by the labelled rows: a function is useful whose accuracy there is above
.6. Settings are those of its public code: four first questions, 25 in all, features by a truncated SVD to 40, at most
100 functions.
Departures: usefulness is predicted by 50 bagged ridge regressions instead of small networks; functions that never vote
for the class are no candidates: against the rest of ten classes "no" is right nine times in ten.
Cost: O(questions x bags x 40^3) and one fit of the candidates.
"""

import numpy as np

from raypipe.label.autows.heuristics import FeatureModels, best_bands, votes_of
from raypipe.label.autows.rules import Rules
from raypipe.label.votes import ABSTAIN

USEFUL, N_FIRST, N_BAGS, N_AXES, N_KEPT = 0.6, 4, 50, 40, 100


def iws(X: np.ndarray, y: np.ndarray, pool: np.ndarray, *, questions: int = 25, random_state: int = 0) -> Rules:
    """Rules from labelled rows [n, d] of classes 0 and 1; `pool` tells nothing here."""
    rng, made = np.random.default_rng(random_state), FeatureModels.fit(X, y)
    bands = best_bands(made.probability(X), y)
    votes = votes_of(made.probability(X), bands)
    cast = (votes != ABSTAIN).sum(axis=0)
    accuracy = ((votes == y[:, None]).sum(axis=0) + 0.5) / (cast + 1)
    candidates = np.flatnonzero((votes == 1).any(axis=0))  # one that never votes for the class tells no row apart
    if not len(candidates):
        candidates = np.arange(votes.shape[1])
    features, useful = _features(votes[:, candidates]), (accuracy[candidates] > USEFUL).astype(float)
    asked = rng.permutation(len(candidates))[:N_FIRST].tolist()
    for _ in range(max(0, min(questions, len(candidates)) - len(asked))):
        mean, spread = _predicted(features, np.array(asked), useful[asked], rng)
        straddle = 1.96 * spread - abs(mean - USEFUL)
        straddle[asked] = -np.inf
        asked.append(int(straddle.argmax()))
    mean, _ = _predicted(features, np.array(asked), useful[asked], rng)
    mean[asked] = useful[asked]
    best = np.argsort(-mean, kind="stable")[:N_KEPT]
    kept = candidates[best[mean[best] > USEFUL] if (mean[best] > USEFUL).any() else best[:1]]
    return Rules((made,) * len(kept), tuple(kept.tolist()), tuple(bands[kept]))


def _features(votes: np.ndarray) -> np.ndarray:
    """Axes [m, 40] of the functions by their votes [n, m], 0 where they abstain."""
    signed = np.where(votes == ABSTAIN, 0, 2 * votes - 1).astype(float)
    u, s, _ = np.linalg.svd(signed.T, full_matrices=False)
    found: np.ndarray = (u * s)[:, :N_AXES]
    return np.column_stack([found / max(1e-9, found.std()), np.ones(len(found))])


def _predicted(
    features: np.ndarray, asked: np.ndarray, useful: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread [m] of usefulness over bags of the answers so far."""
    found = []
    for _ in range(N_BAGS):
        bag = rng.integers(0, len(asked), len(asked))
        F, t = features[asked[bag]], useful[bag]
        found.append(features @ np.linalg.solve(F.T @ F + np.eye(F.shape[1]), F.T @ t))
    return np.mean(found, axis=0), np.std(found, axis=0)
