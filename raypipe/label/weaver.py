"""Weaver: scores of many weak verifiers -> votes -> the probability that an answer is right; the best of K by it.

Source: J. Saad-Falcon et al., Shrinking the Generation-Verification Gap with Weak Verifiers, arXiv 2506.18203,
section 4 and appendix B: scores brought to [0, 1] over the whole set, binarised at a threshold that a small development
set of queries with known answers chooses, votes filtered by how often they are positive, a label model, naive Bayes.
Departures: the class balance is the development set's share of right answers, smoothed by one row of each, never that
of all labels (as in the released configurations); the threshold is the one that puts most pairs of a right and a wrong
answer to a query in order there, which of five queries says more than how many of the best are right; the label model
is ours of the same objective (`moment_matching`). A missing score is the lowest, as in the paper. Filter of the text
(.2 and .8), not of the code (.1 and .9).
Cost: a fit of moment matching, O(n m^2), for each threshold.
"""

import warnings
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from raypipe.label.moment_matching import MomentMatching
from raypipe.label.votes import Votes

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))
MIN_VERIFIERS = 3
"""With two, rates of right and wrong votes can't be told apart."""


class Weaver(BaseEstimator):
    """Verifiers' scores [n, m] of answers, higher being better, to the probability [n] that each is right.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> queries, correct = np.repeat(np.arange(100), 10), rng.random(1000) < 0.4  # ten answers to each of 100 queries
    >>> scores = correct[:, None] + rng.normal(size=(1000, 5))  # of five verifiers, each of them weak
    >>> known = np.arange(200)  # answers to the first 20 queries were judged by hand
    >>> model = Weaver(thresholds=(0.4, 0.5, 0.6)).fit(scores, queries, known, correct[known])
    >>> chosen = best_of(model.posterior(scores), queries)
    >>> bool(correct[chosen].mean() > 0.8)
    True
    """

    threshold_: float
    kept_: npt.NDArray[np.int64]
    class_balance_: float

    def __init__(
        self,
        *,
        thresholds: tuple[float, ...] = THRESHOLDS,
        keeps: tuple[float, float] = (0.2, 0.8),
        class_balance: float | None = None,
    ) -> None:
        """`keeps`: lowest and highest share of positive votes; (0, 1) filters nothing. `class_balance`: the share of
        right answers; None: the development set's.
        """
        self.thresholds = thresholds
        self.keeps = keeps
        self.class_balance = class_balance

    def fit(self, scores: np.ndarray, queries: np.ndarray, rows: np.ndarray, correct: np.ndarray) -> Self:
        """Learn from scores [n, m] of answers to queries [n]; `rows` [d] are the development set's, with its truth.

        Raises
        ------
        ValueError
            If shapes don't fit, the development set is empty, or no threshold leaves three verifiers.
        """
        _check(scores, queries, rows, correct)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a verifier that scored nothing is constant below
            self._low, self._high = np.nanmin(scores, axis=0), np.nanmax(scores, axis=0)
        given = self.class_balance
        self.class_balance_ = float((correct.sum() + 1) / (len(correct) + 2)) if given is None else given
        best = None
        for threshold in self.thresholds:
            votes = self._votes(scores, threshold)
            kept = self._kept(votes)
            if len(kept) < MIN_VERIFIERS:
                continue
            balance = (1 - self.class_balance_, self.class_balance_)
            model = MomentMatching(class_balance=balance).fit(votes[:, kept])
            found = model.predict_proba(votes[np.ix_(rows, kept)])[:, 1]
            quality = _quality(found, queries[rows], correct)
            if best is None or quality > best:
                best, self.threshold_, self.kept_, self._model = quality, threshold, kept, model
        if best is None:
            raise ValueError(
                f"{MIN_VERIFIERS} verifiers at least must give positive votes within {self.keeps} of the answers, no "
                f"threshold of {self.thresholds} leaves so many of {scores.shape[1]}; add verifiers or widen keeps."
            )
        return self

    def posterior(self, scores: np.ndarray) -> np.ndarray:
        """The probability [n] that each answer is right.

        Raises
        ------
        ValueError
            If there are more or fewer verifiers than in `fit`.
        """
        if not hasattr(self, "kept_"):
            raise NotFittedError("Weaver must be fitted before it answers; call fit.")
        if scores.ndim != 2 or scores.shape[1] != len(self._low):
            raise ValueError(f"scores must be [answers, {len(self._low)} verifiers], as in fit, got {scores.shape}.")
        found: np.ndarray = self._model.predict_proba(self._votes(scores, self.threshold_)[:, self.kept_])[:, 1]
        return found

    @property
    def rates_(self) -> np.ndarray:
        """Share of right votes [kept verifiers, 2] on wrong answers and on right ones: TNR and TPR."""
        return self._model.answers_[:, [0, 1], [0, 1]]

    def _votes(self, scores: np.ndarray, threshold: float) -> Votes:
        return (scaled(scores, self._low, self._high) >= threshold).astype(np.int8)

    def _kept(self, votes: Votes) -> npt.NDArray[np.int64]:
        """The verifiers that aren't positive too seldom or too often for the share of right answers."""
        low, high = self.keeps
        positive = votes.mean(axis=0)
        may_be_rare, may_be_common = self.class_balance_ < low, self.class_balance_ > high
        keep = ((positive >= low) | may_be_rare) & ((positive <= high) | may_be_common)
        return np.flatnonzero(keep)


def scaled(scores: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Scores [n, m] in [0, 1] between the lowest and the highest of each verifier; 0 where there is none."""
    span = np.where(high > low, high - low, 1.0)
    found: np.ndarray = np.nan_to_num((scores - low) / span, nan=0.0)
    return found


def best_of(score: np.ndarray, queries: np.ndarray) -> npt.NDArray[np.int64]:
    """For each query, in their sorted order, the row of its highest score, the first of equals."""
    order = np.lexsort((-score, queries))
    _, first = np.unique(queries[order], return_index=True)
    found: npt.NDArray[np.int64] = order[first]
    return found


def _quality(posterior: np.ndarray, queries: np.ndarray, correct: np.ndarray) -> tuple[float, float]:
    """The share of pairs of a right and a wrong answer to a query that are in order, and the truth's log-likelihood."""
    in_order, n_pairs = 0.0, 0
    for query in np.unique(queries):
        right, wrong = (posterior[(queries == query) & of] for of in (correct, ~correct))
        gaps = right[:, None] - wrong
        in_order, n_pairs = in_order + (gaps > 0).sum() + (gaps == 0).sum() / 2, n_pairs + gaps.size
    likelihood = np.log(np.clip(np.where(correct, posterior, 1 - posterior), 1e-6, None)).mean()
    return float(in_order / max(1, n_pairs)), float(likelihood)


def _check(scores: np.ndarray, queries: np.ndarray, rows: np.ndarray, correct: np.ndarray) -> None:
    if scores.ndim != 2 or len(queries) != len(scores):
        raise ValueError(f"scores must be [answers, verifiers] with a query each, got {scores.shape}, {len(queries)}.")
    if len(rows) == 0 or len(rows) != len(correct):
        raise ValueError(
            f"the development set must have answers whose truth is known, got {len(rows)} rows and {len(correct)}."
        )
    if np.isinf(scores).any():
        raise ValueError("scores must be finite, or NaN where a verifier gave none; got an infinite one.")
