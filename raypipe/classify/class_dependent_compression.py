"""Class-dependent compression: a network pruned round by round, each round trained so that one class is seldom missed.

After each round the weights that grew least in magnitude go, those that stay return to where they began, and training
starts again (a lottery ticket). From the second round on the protected class weighs `gamma` in the cross-entropy, and
pairs of its rows and others are ranked by a squared hinge on their logits, which bounds 1 - AUC.
Source: R. Entezari and O. Saukh, Class-dependent Pruning of Deep Neural Networks, SenSys-ML 2020, arXiv 1909.10364:
criterion, rewinding, weights from round two on; J. Frankle and M. Carbin, The Lottery Ticket Hypothesis, ICLR 2019.
Departures: the printed ranking loss has ranks, which have no gradient, and a sign that can't be minimised; the hinge
over pairs, averaged, is its intent. A head on vectors, of any number of classes: one is protected against all others.
Most of the effect is that of the weights; a moved threshold is the fair rival.
Cost: `n_rounds` + 1 trainings of O(batch w) a step; weights that are pruned are still multiplied.
"""

from typing import NamedTuple, Self

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_random_state, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.contracts.estimator import State
from raypipe.fitting.layered import LayeredClassifier
from raypipe.fitting.perceptron import (
    Layers,
    activations,
    begun,
    cross_entropy,
    logits,
    slopes,
)

MIN_STEPS, MOMENTUM = 50, 0.9


class Protected(NamedTuple):
    """How a class fares."""

    n_weights: int
    missed: float
    """Share of its rows that are called another class (FNR)."""
    false_alarms: float
    """Share of other rows that are called it (FPR)."""
    auc: float


def margins(logits: np.ndarray, positive: int) -> np.ndarray:
    """How much a class's logit is above the others' together: [n, k] -> [n]; above 0, it has half the probability."""
    found: np.ndarray = logits[:, positive] - logsumexp(np.delete(logits, positive, axis=1), axis=1)
    return found


def ranking_loss(logits: np.ndarray, is_positive: np.ndarray, positive: int) -> tuple[float, np.ndarray]:
    """Mean over pairs of a positive and another row of max(0, 1 - (s_i - s_j))^2, s the margins, and its slope [n, k].

    0 where there is no pair.
    """
    pairs = int(is_positive.sum()) * int((~is_positive).sum())
    if not pairs:
        return 0.0, np.zeros_like(logits)
    s = margins(logits, positive)
    gaps = np.maximum(0.0, 1 - s[is_positive][:, None] + s[~is_positive])
    by_margin = np.empty(len(s))
    by_margin[is_positive], by_margin[~is_positive] = -2 * gaps.sum(axis=1), 2 * gaps.sum(axis=0)
    shares = np.zeros_like(logits)
    others = np.arange(logits.shape[1]) != positive
    shares[:, others] = -softmax(logits[:, others], axis=1)
    shares[:, positive] = 1.0
    return float((gaps**2).sum() / pairs), (by_margin / pairs)[:, None] * shares


def survivors(start: Layers, end: Layers, masks: Layers, n: int) -> Layers:
    """Masks of the `n` weights that grew most in magnitude, among those that are there; of equal ones the first."""
    import torch

    from raypipe.fitting.masks import largest_of_all

    grown = {
        name: torch.from_numpy(np.where(mask, np.abs(end[name]) - np.abs(start[name]), -np.inf))
        for name, mask in masks.items()
    }
    return {name: mask.numpy() for name, mask in largest_of_all(grown, n).items()}


class ClassDependentCompression(LayeredClassifier):
    """A small network of two hidden layers that seldom misses one class."""

    positive_: int
    """Of the classes, the one that is protected."""
    rounds_: list[Protected]
    """How it fares on the rows learned from, after each training; not kept in a folder."""

    def __init__(
        self, *, positive: str | None = None, n_rounds: int = 6, prune: float = 0.5, gamma: float = 5.0,
        gamma_from: int = 2, ranking: float = 0.5, hidden: int = 100, last: int = 30, n_epochs: int = 50,
        batch: int = 128, learning_rate: float = 0.02, random_state: int | None = None,
    ) -> None:  # fmt: skip
        """`positive`: the class not to be missed, None: the rarest; `gamma`: its weight from training `gamma_from` on.

        `n_rounds`: of pruning, a share `prune` of the weights each; `ranking`: weight of the pairwise loss, from the
        first training on; `hidden`, `last`: units of both layers; `n_epochs`: passes a training.
        """
        self.positive, self.n_rounds, self.prune, self.gamma = positive, n_rounds, prune, gamma
        self.gamma_from, self.ranking, self.hidden, self.last = gamma_from, ranking, hidden, last
        self.n_epochs, self.batch, self.learning_rate, self.random_state = n_epochs, batch, learning_rate, random_state

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from rows [n, d] and classes [n].

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, the protected one has no row, or a setting can't
            be.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, at, counts = np.unique(y, return_inverse=True, return_counts=True)
        if len(self.classes_) < 2:
            raise ValueError(f"compression needs two classes at least, got 1 class: {str(y[0])!r}.")
        names = [str(name) for name in self.classes_]
        if self.positive is not None and self.positive not in names:
            raise ValueError(
                f"positive must be a class that has labelled rows, got {self.positive!r}; there are {names}."
            )
        self.positive_ = int(counts.argmin()) if self.positive is None else names.index(self.positive)
        self.mean_, self.scale_ = mean_and_scale(X)
        self._compress((X - self.mean_) / self.scale_, at)
        return self

    def _check(self) -> None:
        names = ("hidden", "last", "n_epochs", "gamma_from")
        if min(getattr(self, name) for name in names) < 1 or self.batch < 2 or self.n_rounds < 0:
            said = ", ".join(f"{name} {getattr(self, name)}" for name in names)
            raise ValueError(
                f"sizes must be at least 1, batch 2 and n_rounds 0, got {said}, batch {self.batch} and n_rounds "
                f"{self.n_rounds}."
            )
        if not 0 < self.prune < 1 or self.gamma <= 0 or self.ranking < 0 or self.learning_rate <= 0:
            raise ValueError(
                "prune must be in (0, 1), gamma and learning_rate above 0, ranking at least 0, got "
                f"{self.prune}, {self.gamma}, {self.learning_rate} and {self.ranking}."
            )

    def _compress(self, Z: np.ndarray, at: np.ndarray) -> None:
        rng, k = check_random_state(self.random_state), len(self.classes_)
        start = begun((Z.shape[1], self.hidden, self.last, k), rng)
        masks = {name: np.ones(of.shape, bool) for name, of in start.items() if name.startswith("weights")}
        total = sum(mask.size for mask in masks.values())
        if round(total * (1 - self.prune) ** self.n_rounds) < 1:
            raise ValueError(f"n_rounds and prune must leave a weight of {total:,}, got {self.n_rounds}, {self.prune}.")
        self.rounds_ = []
        for training in range(self.n_rounds + 1):
            if training:
                masks = self._survivors(start, self.layers_, masks, round(total * (1 - self.prune) ** training))
            gamma = self.gamma if training + 1 >= self.gamma_from else 1.0
            self.layers_ = self._trained(start, masks, Z, at, gamma, rng)
            self.rounds_.append(self.fares(logits(self.layers_, Z), at))

    def _survivors(self, start: Layers, end: Layers, masks: Layers, n: int) -> Layers:
        return survivors(start, end, masks, n)

    def _trained(
        self, start: Layers, masks: Layers, Z: np.ndarray, at: np.ndarray, gamma: float, rng: np.random.RandomState
    ) -> Layers:
        """From the first weights on, those that are masked 0 all along."""
        masked = {name: of * masks[name] if name in masks else of.copy() for name, of in start.items()}
        speed, positive = {name: np.zeros_like(of) for name, of in start.items()}, at == self.positive_
        own, others = np.flatnonzero(positive), np.flatnonzero(~positive)
        n_own = min(self.batch - 1, max(1, round(self.batch * len(own) / len(at))))
        weight, targets = np.where(positive, gamma, 1.0), np.eye(len(self.classes_))[at]
        for _ in range(max(MIN_STEPS, self.n_epochs * -(-len(at) // self.batch))):
            rows = np.concatenate([rng.choice(own, n_own), rng.choice(others, self.batch - n_own)])
            made = activations(masked, Z[rows])
            _, slope = cross_entropy(made[-1], targets[rows], weight[rows] / len(rows))
            if self.ranking:
                slope = slope + self.ranking * ranking_loss(made[-1], positive[rows], self.positive_)[1]
            for name, of in slopes(masked, made, slope)[0].items():
                speed[name] = MOMENTUM * speed[name] + (of * masks[name] if name in masks else of)
                masked[name] = masked[name] - self.learning_rate * speed[name]
        return masked

    def fares(self, logits: np.ndarray, at: np.ndarray) -> Protected:
        """How the protected class fares by logits [n, k] of rows of classes [n] int."""
        positive, called = at == self.positive_, logits.argmax(axis=1) == self.positive_
        kept = sum(int((of != 0).sum()) for name, of in self.layers_.items() if name.startswith("weights"))
        auc = float(roc_auc_score(positive, margins(logits, self.positive_)))
        return Protected(kept, float((~called[positive]).mean()), float(called[~positive].mean()), auc)

    def advice(self) -> str:
        """What was compressed to what, on the rows learned from."""
        first, last, name = self.rounds_[0], self.rounds_[-1], self.classes_[self.positive_]
        return (
            f"{last.n_weights:,} of {first.n_weights:,} weights; of the rows learned from, {last.missed:.1%} of "
            f"{str(name)!r} are missed, {last.false_alarms:.1%} of others called so"
        )

    def state(self) -> State:
        """What was learned: classes, the protected one, scaling, layers."""
        return super().state() | {"positive": np.array([self.positive_])}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = super().from_state(state)
        made.positive_ = int(state["positive"][0])
        return made
