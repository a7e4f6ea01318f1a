"""Weaver: the best of K answers by many weak verifiers, weighed without labels beyond a development set of 1 %.

Everything is simulated: verifiers of known rates, and verifiers whose scores know something of the truth, on scales and
with noise of their own; no language model has answered or judged anything. Bars are the dossier's (section f, 1 and 3)
for votes of known rates; in selection the rivals are the majority of the answers, the verifier that is best on the same
development set, and the mean of the scores, the ceiling is the oracle, and the control are verifiers that know nothing
but the majority. With all labels known it is tested on the queries that it learned from, with 1 % on the others.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from raypipe.evaluate.claims import Claim
from raypipe.label.label_model import posterior
from raypipe.label.weaver import Weaver, best_of, scaled
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .study import Study


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy of votes of known rates, or success of selection beside its rivals."""
    return _votes(settings, seed) if settings["task"] == "votes" else _selection(settings, seed)


def _votes(settings: Mapping[str, Any], seed: int) -> Metrics:
    """Eight voters of rates in [.55, .95], 30 % right answers; with three constant and two coin flips, or without."""
    rng, n, share = np.random.default_rng([seed, 0]), settings["n_votes"], 0.3
    truth = rng.random(n) < share
    right = rng.uniform(0.55, 0.95, (8, 2))  # on wrong answers, on right ones
    votes = np.where(rng.random((n, 8)) < right[:, truth.astype(int)].T, truth[:, None], ~truth[:, None])
    more = np.column_stack([np.ones((n, 2)), np.zeros((n, 1)), rng.random((n, 2)) < 0.5])
    given = np.column_stack([votes, more]) if settings["extra"] else votes
    keeps = (0.1, 0.9) if settings["filters"] else (0.0, 1.0)  # votes of known rates: few are positive below .2
    model = Weaver(thresholds=(0.5,), keeps=keeps, class_balance=share)
    model.fit(given.astype(float), np.arange(n), np.arange(50), truth[:50])
    found = model.posterior(given.astype(float)) > 0.5
    likelihood = np.stack([np.where(votes == c, right[:, c], 1 - right[:, c]) for c in (0, 1)], axis=2)
    best = posterior(np.log(likelihood).sum(axis=1), np.array([1 - share, share])).argmax(axis=1)
    own = [place for place, number in enumerate(model.kept_) if number < 8]
    error = abs(model.rates_[own] - right[model.kept_[own]]).mean()
    return {
        "accuracy": float((found == truth).mean()), "true_posterior": float((best == truth).mean()),
        "vote": float(((given.mean(axis=1) > 0.5) == truth).mean()), "rate_error": float(error), "bar": 0.02,
    }  # fmt: skip


def _selection(settings: Mapping[str, Any], seed: int) -> Metrics:
    """Success of the best of K by each rule, over the queries that aren't the development set."""
    queries, answers, correct, scores = _answers(settings, seed)
    n_known = max(2, round(settings["development"] * settings["n_queries"]))
    known = np.flatnonzero(queries < n_known)
    votes = _agreement(answers, settings["k"])
    given = np.column_stack([scores, votes])  # the majority is one more verifier, as in the paper
    model = Weaver().fit(given, queries, known, correct[known])
    level = scaled(given, given.min(axis=0), given.max(axis=0))
    single = [correct[known][best_of(scores[known, one], queries[known])].mean() for one in range(scores.shape[1])]
    later = queries >= n_known if settings["development"] < 1 else queries >= 0

    def success(score: np.ndarray) -> float:
        return float(correct[later][best_of(score[later], queries[later])].mean())

    return {
        "weaver": success(model.posterior(given)), "majority": success(votes),
        "best_single": success(scores[:, int(np.argmax(single))]), "mean": success(level.mean(axis=1)),
        "first": success(np.zeros(len(queries))), "oracle": success(correct.astype(float)),
        "threshold": model.threshold_, "kept": float(len(model.kept_)),
    }  # fmt: skip


def _answers(settings: Mapping[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Queries of their own difficulty; wrong answers crowd on a few; verifiers of their own strength and scale."""
    rng, n, k, m = np.random.default_rng([seed, 1]), settings["n_queries"], settings["k"], settings["n_verifiers"]
    queries = np.repeat(np.arange(n), k)
    correct = rng.random(n * k) < np.repeat(rng.beta(0.8, 1.2, n), k)
    shares = np.cumsum(rng.dirichlet([0.5] * 4, n), axis=1)
    wrong = 1 + (rng.random(n * k)[:, None] > shares[queries]).sum(axis=1)
    answers = np.where(correct, 0, wrong)
    strength = rng.uniform(0.2, 1.6, m) * settings["knows"]
    of_query = rng.normal(0, 0.5, (n, m))[queries]  # a verifier likes some queries, whatever the answer
    raw = strength * correct[:, None] + of_query + rng.normal(size=(n * k, m))
    shape = np.arange(m) % 3
    shaped = np.choose(shape, [raw, 1 / (1 + np.exp(-3 * raw)), np.exp(raw)])
    return queries, answers, correct, shaped * rng.uniform(0.1, 10, m)


def _agreement(answers: np.ndarray, k: int) -> np.ndarray:
    """The share of a query's answers that are the same as each: [n]."""
    rows = answers.reshape(-1, k)
    found: np.ndarray = (rows[:, :, None] == rows[:, None, :]).mean(axis=2).ravel()
    return found


RATES, EXTRA, UNFILTERED = "votes of known rates", "with constant and chance voters", "the same, unfiltered"
SELECT, ALL, NOISE = "best of K, 1 % development set", "best of K, all labels known", "verifiers that know nothing"
STUDY = Study(
    source="J. Saad-Falcon et al., Weaver, arXiv 2506.18203, tables 1 and 3; dossier f, 1 and 3",
    trial=trial,
    arms={
        RATES: {"task": "votes", "extra": False, "filters": True},
        EXTRA: {"task": "votes", "extra": True, "filters": True},
        UNFILTERED: {"task": "votes", "extra": True, "filters": False},
        SELECT: {"task": "selection", "development": 0.01, "knows": 1.0},
        ALL: {"task": "selection", "development": 1.0, "knows": 1.0},
        NOISE: {"task": "selection", "development": 0.01, "knows": 0.0},
    },
    control=NOISE,
    settings={"n_votes": 5000, "n_queries": 500, "k": 16, "n_verifiers": 12},
    quick={"n_votes": 400, "n_queries": 40, "k": 6, "n_verifiers": 6},
    more_code=("raypipe.label.moment_matching",),
    claims=(
        Claim(
            sentence="Rates of votes are recovered without labels: mean error below .02",
            metric="rate_error", of=RATES, over=RATES, over_metric="bar", lower_is_better=True,
        ),
        Claim(
            sentence="Accuracy is within .003 of the posterior of the true rates",
            metric="accuracy", of=RATES, over=RATES, over_metric="true_posterior", at_least=-0.003,
        ),
        Claim(
            sentence="It is above the unweighted vote of voters of different rates",
            metric="accuracy", of=RATES, over=RATES, over_metric="vote",
        ),
        Claim(
            sentence="With three constant voters and two coin flips accuracy stays within .01, filtered",
            metric="accuracy", of=EXTRA, over=RATES, within=0.01,
        ),
        Claim(
            sentence="Without the filter the rates of the eight others are recovered worse, by however little",
            metric="rate_error", of=EXTRA, over=UNFILTERED, lower_is_better=True,
        ),
        Claim(
            sentence="Weaver picks right answers more often than the majority of the answers",
            metric="weaver", of=SELECT, over=SELECT, over_metric="majority",
        ),
        Claim(
            sentence="Weaver picks right answers more often than the verifier that is best on the development set",
            metric="weaver", of=SELECT, over=SELECT, over_metric="best_single",
        ),
        Claim(
            sentence="Weaver picks right answers more often than the mean of the scaled scores",
            metric="weaver", of=SELECT, over=SELECT, over_metric="mean",
        ),
        Claim(
            sentence="A development set of 1 % costs at most .03 against all labels (84.5 to 87.5 in the paper)",
            metric="weaver", of=SELECT, over=ALL, at_least=-0.03,
        ),
        Claim(
            sentence="Verifiers that know something are better than those that know nothing: .05 higher",
            metric="weaver", of=SELECT, over=NOISE, at_least=0.05,
        ),
    ),
)  # fmt: skip
