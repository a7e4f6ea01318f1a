"""Out-of-fold answers on rows of many labels: each row is answered for by fits that haven't seen it.

Rows are dealt to the folds by their rarest label, so that a label of k rows stands in as many folds as it can. The
threshold of a fold's answers is the one that is best for the other folds' answers; that which is kept, for all.
Source: stratified cross-validation (R. Kohavi, IJCAI 1995) by one label a row, the rarest: what is hardest to spread.
Cost: k fits of the input, and of each contender.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_array
from sklearn.base import clone

from raypipe.contracts.estimator import Estimator
from raypipe.evaluate.many_labels import ManyAnswers, best_threshold, hits_of
from raypipe.fitting.inputs import Input
from raypipe.fitting.many_labels import LikeliestLabels, answers, fit_many
from raypipe.fitting.names import name_vectors

COMMONEST, NEAREST = "commonest labels", "nearest name"


@dataclass(frozen=True)
class ManyRows:
    """Rows with their lists of labels."""

    table: pa.Table
    lists: list[list[str]]
    labels: list[str]
    """All of them, each once, in order."""

    @property
    def truth(self) -> csr_array:
        """Which row has which label: [n, C] of 1.0."""
        number = {name: at for at, name in enumerate(self.labels)}
        rows = np.repeat(np.arange(len(self.lists)), [len(of) for of in self.lists])
        at = np.array([number[label] for of in self.lists for label in of], int)
        return csr_array((np.ones(len(at)), (rows, at)), shape=(len(self.lists), len(self.labels)))


def folds_of_lists(rows: ManyRows, *, n_folds: int, seed: int) -> np.ndarray:
    """The fold of each row [n].

    Raises
    ------
    ValueError
        If there are fewer than two folds, or fewer rows than folds.
    """
    n = len(rows.lists)
    if not 2 <= n_folds <= n:
        raise ValueError(f"folds must be from 2 to the {n} rows, got {n_folds}.")
    truth = rows.truth
    counts = np.asarray(truth.sum(axis=0)).ravel()
    own = [truth.indices[a:b] for a, b in pairwise(truth.indptr)]
    rarest = np.array([one[counts[one].argmin()] for one in own])
    order = np.lexsort([np.random.default_rng(seed).random(n), rarest])
    fold = np.empty(n, int)
    fold[order] = np.arange(n) % n_folds
    return fold


def cross_validated_many(
    contenders: Mapping[str, Estimator], feed: Input, rows: ManyRows, fold: np.ndarray
) -> tuple[dict[str, ManyAnswers], dict[str, float]]:
    """Answers of each contender, of the nearest names where rows are texts, and of the commonest labels; thresholds."""
    found: dict[str, list[LikeliestLabels]] = {}
    for at in range(int(fold.max()) + 1):
        train, test = np.flatnonzero(fold != at), np.flatnonzero(fold == at)
        own = deepcopy(feed).fit(rows.table.take(train))
        X, T = own.encode(rows.table.take(train))[0], own.encode(rows.table.take(test))[0]
        lists = [rows.lists[row] for row in train]
        for name, says in _of_fold(contenders, own, X, lists, rows.labels).items():
            found.setdefault(name, []).append(answers(says, T))
    back = np.argsort(np.concatenate([np.flatnonzero(fold == at) for at in range(int(fold.max()) + 1)]))
    truth, judged, thresholds = rows.truth, {}, {}
    for name, parts in found.items():
        places, probabilities = ([getattr(one, of) for one in parts] for of in ("place", "probability"))
        whole = LikeliestLabels(np.concatenate(places)[back], np.concatenate(probabilities)[back])
        judged[name], thresholds[name] = _thresholded(whole, truth, fold)
    return judged, thresholds


Says = Callable[[np.ndarray], np.ndarray]


def _of_fold(
    contenders: Mapping[str, Estimator], feed: Input, X: np.ndarray, lists: Sequence[Sequence[str]], labels: list[str]
) -> dict[str, Says]:
    """What tells the probabilities [n, C] of rows, by name."""
    number = {name: at for at, name in enumerate(labels)}
    found: dict[str, Says] = {}
    for name, one in contenders.items():
        fitted = fit_many(clone(one), feed, X, lists)
        columns = np.array([number[str(label)] for label in fitted.classes_])
        found[name] = _spread(fitted.probabilities, columns, len(labels))
    known = [number[label] for of in lists for label in of]
    shares = np.bincount(known, minlength=len(labels)) / len(lists)
    found[COMMONEST] = lambda X: np.broadcast_to(shares, (len(X), len(shares)))
    if feed.name == "words":
        names = np.stack(list(name_vectors(feed, labels).values()))
        found[NEAREST] = lambda X: np.clip(X @ names.T, 0.0, 1.0)  # cosines: both are of length 1
    return found


def _spread(says: Says, columns: np.ndarray, n_labels: int) -> Says:
    """Over all labels: 0 of those that had no row to learn from."""

    def spread(X: np.ndarray) -> np.ndarray:
        found = np.zeros((len(X), n_labels))
        found[:, columns] = says(X)
        return found

    return spread


def _thresholded(whole: LikeliestLabels, truth: csr_array, fold: np.ndarray) -> tuple[ManyAnswers, float]:
    hits = hits_of(whole, truth)
    n_true = np.asarray(truth.sum(axis=1)).ravel()
    threshold = np.empty(len(fold))
    for at in range(int(fold.max()) + 1):
        others = fold != at
        threshold[~others] = best_threshold(whole.take(others), hits[others], int(n_true[others].sum()))
    return ManyAnswers(whole, threshold), best_threshold(whole, hits, int(n_true.sum()))
