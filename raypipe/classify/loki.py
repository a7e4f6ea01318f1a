"""Loki: instead of the likeliest class, the label whose expected squared distance is least; it may have no row at all.

A classifier of K observed classes gives weights; a metric over all N labels (see label_metrics) gives distances; the
prediction is the Fréchet mean. Nothing is trained beyond the classifier; a wrong metric hurts, and nothing protects
against it: compare with the plain classifier on held-out rows first.
Source: N. Roberts et al., Geometry-Aware Adaptation for Pretrained Models, NeurIPS 2023, arXiv 2307.12226: the
prediction rule, the locus of observed classes over pairs (exact for trees and grids), covers, active next-class choice.
Departures: of labels within 1e-9 of the least cost the first is taken, so that parts of a corpus agree; `predict_proba`
is how far each label's cost lies below the highest, shares of 1: the classifier's own on the complete graph, else an
order of labels and no calibrated probability. The classifier of `Loki` is a logistic regression on scaled features; any
other's probabilities go through `frechet_mean`.
Cost: O(n K N) to predict; O(K^2 W N) for a locus of W weights a pair.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.classify.label_metrics import LabelMetric, along_edges, complete, numbered, pairs_of
from raypipe.classify.logistic_regression import of_each_class
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

TIE = 1e-9
"""Of the largest cost: labels that differ by less are tied."""


def costs(probability: np.ndarray, distances: np.ndarray, *, beta: float = 2.0) -> np.ndarray:
    """Expected distance to the power beta of each label: [n, K], distances [K, N] (not squared) -> [n, N]."""
    found: np.ndarray = probability @ distances**beta
    return found


def frechet_mean(probability: np.ndarray, distances: np.ndarray, *, beta: float = 2.0) -> np.ndarray:
    """The label of least cost of each row: probabilities [n, K], distances [K, N] -> positions [n]; of ties the first.

    Raises
    ------
    ValueError
        If the rows aren't probabilities, or not of as many classes as there are rows of distances.
    """
    if probability.ndim != 2 or distances.ndim != 2 or probability.shape[1] != len(distances):
        raise ValueError(f"probability [n, K] must meet distances [K, N], got {probability.shape}, {distances.shape}.")
    if not ((probability >= 0).all() and np.allclose(probability.sum(axis=1), 1, atol=1e-4)):
        raise ValueError("probability must be at least 0 in rows that add up to 1; logits must go through a softmax.")
    return _first_least(costs(probability, distances, beta=beta), float((distances**beta).max()))


def _first_least(cost: np.ndarray, highest: float) -> np.ndarray:
    found: np.ndarray = _least(cost, highest).argmax(axis=1)
    return found


def _least(cost: np.ndarray, highest: float) -> np.ndarray:
    found: np.ndarray = cost <= cost.min(axis=1, keepdims=True) + TIE * highest
    return found


def locus(metric: LabelMetric, observed: np.ndarray, *, n_weights: int | None = None, beta: float = 2.0) -> np.ndarray:
    """Labels that weights on pairs of observed ones reach, ties included: positions [K] -> [N] bool.

    For trees and grids that is all that any weights reach. `n_weights`: steps of the weight of a pair; None: as many as
    the diameter, which is enough where every edge is 1 long.
    """
    reached = np.zeros(len(metric.labels), bool)
    reached[observed] = True
    steps = n_weights or max(1, int(np.ceil(metric.distances.max())))
    w = np.linspace(0, 1, steps + 1)
    weights, powers = np.stack([w, 1 - w], axis=1), metric.distances**beta
    for pair in combinations(np.asarray(observed).tolist(), 2):
        reached |= _least(weights @ powers[list(pair)], float(powers.max())).any(axis=0)
    return reached


def cover(metric: LabelMetric, candidates: np.ndarray) -> np.ndarray | None:
    """Few candidates whose locus is every label: positions, sorted; None where not even all of them reach it.

    Pairs are taken from the farthest to the nearest (the paper's heuristic); what adds nothing is left out. Of a tree
    the leaves are the least cover.
    """
    pairs = sorted(combinations(np.asarray(candidates).tolist(), 2), key=lambda pair: -metric.distances[pair])
    kept: list[int] = []
    reached = np.zeros(len(metric.labels), bool)
    for pair in pairs:
        found, more = reached, list(kept)
        for at in pair:
            if at not in more:  # of the locus only lines to what is kept already are new
                for other in more or [at]:
                    found = found | locus(metric, np.array([at, other]))
                more.append(at)
        if found.sum() > reached.sum():
            kept, reached = more, found
        if reached.all():
            return np.sort(kept)
    return None


def next_class(metric: LabelMetric, observed: np.ndarray) -> int | None:
    """Which label to collect rows of next: the one farthest from the locus of those observed; None if all are in it.

    The greedy step that enlarges the locus of a tree most; of equally far ones the first.
    """
    reached = locus(metric, observed)
    if reached.all():
        return None
    return int(np.where(reached, -1.0, metric.distances[:, reached].min(axis=1)).argmax())


class Loki(ClassifierMixin, BaseEstimator):
    """A logistic regression whose answers are Fréchet means of a label metric.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(40, 1)), rng.normal(size=(40, 1)) + 6])
    >>> model = Loki(scale="1;2;3;4;5").fit(X, np.array(["1"] * 40 + ["5"] * 40))
    >>> model.predict(np.array([[0.0], [3.0], [6.0]])).tolist()  # nobody was shown a 3
    ['1', '3', '5']
    """

    classes_: np.ndarray
    observed_: np.ndarray
    distances_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    n_features_in_: int

    def __init__(
        self, *, edges: str | None = None, scale: str | None = None, beta: float = 2.0, C: float = 1.0
    ) -> None:  # fmt: skip
        """`edges`: labels next to each other in a graph or tree, as `cat>mammal;dog>mammal`; None: nothing is known.

        `scale`: instead, labels that are numbers, as `1;2;3;5`, apart by their difference. `beta`: power of the
        distance, 2 the mean, 1 the median; `C`: inverse of the classifier's penalty.
        """
        self.edges, self.scale, self.beta, self.C = edges, scale, beta, C

    def _metric(self, names: np.ndarray) -> LabelMetric:
        """The metric of the settings; of these classes where they say none."""
        if self.edges is not None and self.scale is not None:
            raise ValueError("give edges or scale, not both.")
        if self.scale is not None:
            return numbered(self.scale.split(";"))
        return complete(names) if self.edges is None else along_edges(pairs_of(self.edges))

    def fit(self, X: np.ndarray, y: np.ndarray, *, metric: LabelMetric | None = None) -> Self:
        """Learn from rows [n, d] and observed classes [n]; the metric is this one, that of the edges, or none.

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, one isn't in the metric, or beta isn't above 0.
        """
        from sklearn import linear_model

        if self.beta <= 0:
            raise ValueError(f"beta must be above 0, got {self.beta}.")
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        names = np.unique(y)
        if len(names) < 2:
            raise ValueError(f"Loki needs two classes at least, got 1 class: {str(y[0])!r}.")
        if metric is None:
            metric = self._metric(names)
        self.observed_ = metric.positions(names)
        self.classes_, self.distances_ = metric.labels, metric.distances[self.observed_]
        self.mean_, self.scale_ = mean_and_scale(X)
        solver = linear_model.LogisticRegression(C=self.C, max_iter=1000).fit((X - self.mean_) / self.scale_, y)
        self.coef_, self.intercept_ = of_each_class(solver)
        return self

    def observed_proba(self, X: np.ndarray) -> np.ndarray:
        """The classifier's probabilities of the observed classes, `classes_[observed_]`: [n, d] -> [n, K]."""
        check_is_fitted(self)
        X = (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.scale_
        found: np.ndarray = softmax(X @ self.coef_.T + self.intercept_, axis=1)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The label of least expected squared distance: [n, d] -> [n]; of ties the first."""
        probability = self.observed_proba(X)  # tells who isn't fitted
        found: np.ndarray = self.classes_[frechet_mean(probability, self.distances_, beta=self.beta)]
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Shares of 1 in the order of the costs, over all labels: [n, d] -> [n, N]; not calibrated (see above)."""
        cost = costs(self.observed_proba(X), self.distances_, beta=self.beta)
        gaps = np.maximum((self.distances_**self.beta).max() - cost, 0.0)
        totals = gaps.sum(axis=1, keepdims=True)
        found: np.ndarray = np.divide(gaps, totals, out=np.full_like(gaps, 1 / gaps.shape[1]), where=totals > 0)
        return found

    def explain(self, X: np.ndarray, names: Sequence[str]) -> list[str]:
        """The likeliest observed classes of each row [n, d], between which its label stands; columns aren't named."""
        probability = self.observed_proba(X)
        observed = self.classes_[self.observed_]
        first = np.argsort(-probability, axis=1, kind="stable")[:, :2]
        return [
            "between " + " and ".join(f"{observed[at]} ({row[at]:.2f})" for at in two)
            for row, two in zip(probability, first, strict=True)
        ]

    def advice(self) -> str:
        """Which label to collect rows of next; where every label can be answered, the classes that suffice for it."""
        check_is_fitted(self)
        metric = self._metric(self.classes_[self.observed_])
        following = next_class(metric, self.observed_)
        if following is None:
            least = cover(metric, self.observed_)
            names = self.classes_ if least is None else self.classes_[least]
            said = ", ".join(map(str, names))
            return f"all {len(metric.labels)} labels can be answered; rows of {said} suffice for it"
        reached, name = int(locus(metric, self.observed_).sum()), metric.labels[following]
        return f"{reached} of {len(metric.labels)} labels can be answered; next, collect rows of {name}"

    def state(self) -> State:
        """What was learned: labels, which are observed, their distances to all, the classifier."""
        check_is_fitted(self)
        learnt = {name: getattr(self, f"{name}_") for name in _ARRAYS}
        return classes_state(self.classes_) | learnt

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_ = classes_of(state)
        for name in _ARRAYS:
            setattr(made, f"{name}_", state[name])
        made.n_features_in_ = len(made.mean_)
        return made


_ARRAYS: Sequence[str] = ("observed", "distances", "mean", "scale", "coef", "intercept")
