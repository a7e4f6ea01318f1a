"""Classifiers on rows of many labels: micro, macro and instance F1, precision of the first, what the tail gets.

A label is said where its probability reaches a threshold. Micro: of all labels of all rows together. Macro: the mean
over labels that have a row, each as important as any. Instance: the mean over rows. Precision@k is of the k likeliest,
whatever the threshold; weighted by propensity, a rare label, which annotators forget more easily, counts for more.
Intervals are the percentile bootstrap's, rows drawn together for all contenders; for macro F1 labels are drawn, since a
resample of rows lacks many labels of one row and so is a sample of others.
Source: G. Tsoumakas, I. Katakis and I. Vlahavas, Mining Multi-label Data, 2010, section 5 (micro, macro, by example);
H. Jain, Y. Prabhu and M. Varma, Extreme Multi-label Loss Functions, KDD 2016, equations 1 and 4, A = .55 and B = 1.5
(propensity); B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.
Cost: resamples x (rows x 11 + labels) in products of matrices, 200 resamples at a time.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from raypipe.arrays.bootstrap import drawn_counts
from raypipe.evaluate.task_means import estimate
from raypipe.fitting.many_labels import BLOCK, LikeliestLabels

Json = dict[str, Any]
MEASURES = (
    "micro_f1", "macro_f1", "instance_f1", "micro_precision", "micro_recall", "precision_at_1", "precision_at_5",
    "weighted_precision_at_5", "rare_recall", "reach",
)  # fmt: skip
RARE = 50
"""Rows below which a label is rare; ours."""
A, B = 0.55, 1.5


@dataclass(frozen=True)
class ManyAnswers:
    """What a contender says of rows that it hasn't learned from."""

    ranked: LikeliestLabels
    threshold: np.ndarray
    """[n] probability from which on a label is said; rows of different fits may have different ones."""


def inverse_propensity(counts: np.ndarray, n: int) -> np.ndarray:
    """How much a label counts that has so many of n rows: [C] -> [C], from 1 on; the rarer, the more."""
    scale = (np.log(max(n, 3)) - 1) * (B + 1) ** A
    found: np.ndarray = 1 + scale * (counts + B) ** -A
    return found


def best_threshold(ranked: LikeliestLabels, hits: np.ndarray, n_true: int) -> float:
    """The probability from which on labels are said for the best micro F1; hits [n, k] bool, of n_true labels in all.

    Of equally good ones the highest; 1 where no label that was said is right.
    """
    probability = ranked.probability.ravel()
    order = np.argsort(-probability, kind="stable")
    right = np.cumsum(hits.ravel()[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + n_true)
    sorted_ = probability[order]
    is_end = np.append(sorted_[1:] != sorted_[:-1], True) & (sorted_ > 0)  # equal ones are said together
    if not len(order) or not (f1 * is_end).any():
        return 1.0
    return float(sorted_[int((f1 * is_end).argmax())])


def hits_of(ranked: LikeliestLabels, truth: csr_array) -> np.ndarray:
    """Which of the ranked labels [n, k] a row has, by its row of truth [n, C]."""
    found = np.empty(ranked.place.shape, bool)
    for begin in range(0, len(found), BLOCK):
        rows = slice(begin, begin + BLOCK)
        found[rows] = np.take_along_axis(truth[rows].toarray() > 0, ranked.place[rows].astype(np.int64), 1)
    return found


def compare_many(
    answers: Mapping[str, ManyAnswers], truth: csr_array, labels: list[str], *, ours: str, n_resamples: int = 1000,
    seed: int = 0,
) -> Json:  # fmt: skip
    """Every measure of every contender for the true labels [n, C], and how much better `ours` is than each other.

    A difference is `shown` where its interval excludes 0.

    Raises
    ------
    KeyError
        If `ours` isn't among the contenders.
    ValueError
        If there is no row with a label, or a contender has another number of answers.
    """
    if ours not in answers:
        raise KeyError(f"the contenders {sorted(answers)} have no {ours!r} to compare with the others.")
    n, counts = truth.shape[0], np.asarray(truth.sum(axis=0)).ravel()
    if not truth.nnz or any(len(one.threshold) != n for one in answers.values()):
        raise ValueError(f"there must be labels, with an answer for each row from all, got {n} rows.")
    sums = {name: _Sums.of(one, truth, counts) for name, one in answers.items()}
    n_labels = int((counts > 0).sum())
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in answers}
    for times, of_labels in zip(
        drawn_counts(n, n_resamples=n_resamples, seed=seed),
        drawn_counts(n_labels, n_resamples=n_resamples, seed=seed + 1), strict=True,
    ):  # fmt: skip
        for name, one in sums.items():
            drawn[name].append(one.measures(times, of_labels))
    resampled = {name: np.concatenate(of, axis=1) for name, of in drawn.items()}
    points = {name: one.measures(np.ones((1, n)), np.ones((1, n_labels)))[:, 0] for name, one in sums.items()}
    return {
        "ours": ours,
        "n": n,
        "n_labels": n_labels,
        "labels_a_row": truth.nnz / n,
        "n_rare": int(((counts > 0) & (counts < RARE)).sum()),
        "contenders": {name: _as_json(points[name], resampled[name]) for name in answers},
        f"{ours} minus": {
            name: _as_json(points[ours] - points[name], resampled[ours] - resampled[name], is_difference=True)
            for name in answers
            if name != ours
        },
        "by_label": sums[ours].by_label(labels),
    }


@dataclass(frozen=True)
class _Sums:
    """What is added up over rows."""

    of_rows: np.ndarray
    """[n, 11]"""
    right: np.ndarray
    said: np.ndarray
    true: np.ndarray
    """[C] each: how often a label is said rightly, is said, is there."""

    @classmethod
    def of(cls, answers: ManyAnswers, truth: csr_array, counts: np.ndarray) -> "_Sums":
        ranked, hits = answers.ranked, hits_of(answers.ranked, truth)
        is_said = (ranked.probability >= answers.threshold[:, None]) & (ranked.probability > 0)
        weight, is_rare = inverse_propensity(counts, truth.shape[0]), (counts < RARE).astype(float)
        n_said, n_true, n_right = is_said.sum(axis=1), np.asarray(truth.sum(axis=1)).ravel(), (is_said & hits).sum(1)
        rare_right = (is_said & hits & (is_rare[ranked.place] > 0)).sum(axis=1)
        of_rows = np.column_stack([
            n_right, n_said, n_true, 2 * n_right / np.maximum(1, n_said + n_true), hits[:, 0],
            hits[:, :5].sum(axis=1) / 5, (hits[:, :5] * weight[ranked.place[:, :5]]).sum(axis=1),
            _best_five(truth, weight), rare_right, truth @ is_rare, (hits & (ranked.probability > 0)).sum(axis=1),
        ])  # fmt: skip
        right, said = (
            np.bincount(ranked.place[one], minlength=len(counts)).astype(float) for one in (is_said & hits, is_said)
        )
        return cls(of_rows, right, said, counts)

    @property
    def f1(self) -> np.ndarray:
        """Of each label that has a row: [labels]."""
        there = self.true > 0
        return _over(2 * self.right[there], (self.said + self.true)[there])

    def measures(self, times: np.ndarray, of_labels: np.ndarray) -> np.ndarray:
        """The measures where rows count so often, and labels for macro F1: [b, n], [b, labels] -> [measures, b]."""
        right, said, true, f1, first, five, weighted, best, rare, n_rare, reached = (times @ self.of_rows).T
        n = times.sum(axis=1)
        return np.stack([
            _over(2 * right, said + true), of_labels @ self.f1 / of_labels.sum(axis=1), f1 / n, _over(right, said),
            _over(right, true), first / n, five / n, _over(weighted, best), _over(rare, n_rare), _over(reached, true),
        ])  # fmt: skip

    def by_label(self, labels: list[str]) -> Json:
        """Rows, precision and recall of each label that has a row."""
        return {
            labels[at]: {
                "n": int(self.true[at]),
                "precision": float(self.right[at] / self.said[at]) if self.said[at] else None,
                "recall": float(self.right[at] / self.true[at]),
            }
            for at in np.flatnonzero(self.true)
        }


def _best_five(truth: csr_array, weight: np.ndarray) -> np.ndarray:
    """What five answers could come to at best, weighted: [n]."""
    return np.array([np.sort(weight[truth.indices[a:b]])[::-1][:5].sum() for a, b in pairwise(truth.indptr)])


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """The quotient; 0 where there is nothing to divide by."""
    found: np.ndarray = np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)
    return found


def _as_json(point: np.ndarray, resampled: np.ndarray, *, is_difference: bool = False) -> Json:
    found = {name: estimate(float(point[at]), resampled[at]) for at, name in enumerate(MEASURES)}
    return {
        name: {**asdict(one), **({"shown": one.excludes_zero} if is_difference else {})}
        for name, one in found.items()
    }  # fmt: skip
