"""ShrinkMatch: unlabelled rows teach a small network what it answers surely, and what unsure ones aren't.

Of each unlabelled row there are two views. Where the weak one's likeliest class has `tau` or more, the strong one must
agree (FixMatch). Elsewhere the classes ranked second, third, ... are dropped until the likeliest has `tau` among the
rest, and an auxiliary head must tell it from that rest; the head is thrown away at last.
Source: L. Yang et al., Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning, ICCV 2023, arXiv
2308.06777: alignment, shrunk space, both principles of weighting, auxiliary head; tau, batches, averaging as theirs.
Departures: a network on vectors, whose views are noise and dropped numbers; Adam in place of SGD; averages (of weights,
of the certain ratio) begin quickly, since there are hundreds of steps, not a million; the auxiliary head has one layer
of ReLU and no batch normalisation; sizes, steps and views are ours. `shrink_weight=0` is FixMatch. Of two classes
nothing is shrunk.
Cost: O((1 + 2 mu) B w) a step for w weights; steps are `n_epochs` passes over unlabelled rows, 50 at least.
"""

from collections import deque
from typing import ClassVar, NamedTuple, Self

import numpy as np
from scipy.special import softmax
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_random_state, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.fitting.beside import unlabelled_rows
from raypipe.fitting.layered import LayeredClassifier
from raypipe.fitting.perceptron import (
    Layers,
    activations,
    average,
    begun,
    cross_entropy,
    logits,
    slopes,
)
from raypipe.fitting.prototypes import AdamByName

MIN_STEPS, N_ALIGNED, MOMENTUM, UNLIKELY = 50, 32, 0.999, -1e30


class Shrunk(NamedTuple):
    """What is left of the classes for each row."""

    keep: np.ndarray
    """[n, k] bool: the likeliest, and those below the dropped ones."""
    is_shrunk: np.ndarray
    """[n] bool: rows that aren't sure and become so."""


def shrunk(probability: np.ndarray, tau: float) -> Shrunk:
    """Drop as few of the classes after the likeliest as make it `tau` likely: [n, k] probabilities.

    At least one is dropped and at least one kept beside it; rows that never come to tau are none.

    >>> import numpy as np
    >>> found = shrunk(np.array([[0.5, 0.3, 0.15, 0.05]]), 0.7)
    >>> found.keep.tolist(), found.is_shrunk.tolist()
    ([[True, False, True, True]], [True])
    """
    order = np.argsort(-probability, axis=1, kind="stable")
    ranked = np.take_along_axis(probability, order, axis=1)
    tail = np.cumsum(ranked[:, ::-1], axis=1)[:, ::-1]
    reached = ranked[:, :1] >= tau * (ranked[:, :1] + tail[:, 2:])  # by the first rank that is kept: 3, 4, ...
    first = (reached.argmax(axis=1) if reached.shape[1] else np.zeros(len(reached), int)) + 2
    rank = np.argsort(order, axis=1)
    keep = (rank == 0) | (rank >= first[:, None])
    return Shrunk(keep, (ranked[:, 0] < tau) & reached.any(axis=1))


def shrunk_loss(logits: np.ndarray, top: np.ndarray, keep: np.ndarray, weight: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy of class `top` [n] among the kept ones [n, k], summed by weights [n], and its slope [n, k].

    Dropped classes have a slope of exactly 0.
    """
    targets = np.eye(logits.shape[1])[top]
    return cross_entropy(np.where(keep, logits, UNLIKELY), targets, weight)


class UnlabelledBatch(NamedTuple):
    """What a step made of its unlabelled rows."""

    rows: np.ndarray
    """[b] of the unlabelled rows."""
    probability: np.ndarray
    """[b, k] of the weak view, aligned."""
    is_certain: np.ndarray
    found: Shrunk


class ShrinkMatch(LayeredClassifier):
    """A network of two hidden layers, taught by labelled rows and its own sure answers to others."""

    takes_unlabelled: ClassVar[bool] = True
    auxiliary: ClassVar[bool] = True
    """Whether the shrunk loss has a head of its own."""
    weighs_rows: ClassVar[bool] = True
    """Whether unsure rows count by the likeliest class's probability (principle 1)."""
    weighs_time: ClassVar[bool] = True
    """Whether they count by the share of sure rows so far (principle 2)."""

    certain_: np.ndarray
    """[steps]: share of a step's unlabelled rows that were sure; not kept in a folder."""
    used_: np.ndarray
    """[steps]: share that taught anything."""

    def __init__(
        self, *, tau: float = 0.95, shrink_weight: float = 1.0, align: bool = True, hidden: int = 64, last: int = 32,
        batch: int = 32, mu: int = 7, n_epochs: int = 60, learning_rate: float = 3e-3, weak_noise: float = 0.1,
        strong_noise: float = 0.3, dropout: float = 0.2, random_state: int | None = None,
    ) -> None:  # fmt: skip
        """`tau`: how likely a class must be to be sure; `shrink_weight`: of the loss on unsure rows, 0 is FixMatch.

        `align`: bring the classes to the frequency that they have over batches; `hidden`, `last`: units of both layers;
        `batch`: labelled rows a step, `mu` times as many unlabelled ones; `n_epochs`: passes over the latter.
        Views, in standard deviations: `weak_noise`; `strong_noise`, with a share of `dropout` numbers set to the mean.
        """
        self.tau, self.shrink_weight, self.align, self.hidden, self.last = tau, shrink_weight, align, hidden, last
        self.batch, self.mu, self.n_epochs, self.learning_rate = batch, mu, n_epochs, learning_rate
        self.weak_noise, self.strong_noise, self.dropout = weak_noise, strong_noise, dropout
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, *, X_unlabelled: np.ndarray | None = None) -> Self:
        """Learn from rows [n, d], classes [n] and rows without a class [m, d]; None: the labelled ones again.

        Raises
        ------
        ValueError
            If a number isn't finite, rows are of several lengths, there are fewer than two classes, or a setting can't
            be.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        others = unlabelled_rows(X_unlabelled, X)
        self.classes_, at = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"ShrinkMatch needs two classes at least, got 1 class: {str(y[0])!r}.")
        self.mean_, self.scale_ = mean_and_scale(np.concatenate([X, others]))
        self._train((X - self.mean_) / self.scale_, at, (others - self.mean_) / self.scale_)
        return self

    def _check(self) -> None:
        names = ("hidden", "last", "batch", "mu", "n_epochs")
        if min(getattr(self, name) for name in names) < 1 or not 0 < self.tau <= 1 or not 0 <= self.dropout < 1:
            said = ", ".join(f"{name} {getattr(self, name)}" for name in names)
            raise ValueError(
                f"sizes must be at least 1, tau in (0, 1] and dropout in [0, 1), got {said}, tau {self.tau}, "
                f"dropout {self.dropout}."
            )
        if min(self.shrink_weight, self.weak_noise, self.strong_noise) < 0 or self.learning_rate <= 0:
            raise ValueError(
                "shrink_weight and noises must be at least 0, learning_rate above 0, got "
                f"{self.shrink_weight}, {self.weak_noise}, {self.strong_noise} and {self.learning_rate}."
            )

    def _weak(self, Z: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """A view that keeps the class of scaled rows for sure."""
        return Z + self.weak_noise * rng.standard_normal(Z.shape)

    def _strong(self, Z: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """A view that is as hard as rows may be."""
        return (Z + self.strong_noise * rng.standard_normal(Z.shape)) * (rng.random_sample(Z.shape) >= self.dropout)

    def _watch(self, seen: UnlabelledBatch) -> None:
        """What a step made of its unlabelled rows; for those who want to know."""

    def _train(self, Z: np.ndarray, at: np.ndarray, others: np.ndarray) -> None:
        rng, k = check_random_state(self.random_state), len(self.classes_)
        net, head = begun((Z.shape[1], self.hidden, self.last, k), rng), begun((self.last, self.last // 4 + 1, k), rng)
        n_unlabelled = min(self.batch * self.mu, len(others))
        n_steps = max(MIN_STEPS, self.n_epochs * -(-len(others) // n_unlabelled))
        adams = (AdamByName(self.learning_rate), AdamByName(self.learning_rate))
        means: deque[np.ndarray] = deque(maxlen=N_ALIGNED)
        self.layers_, maturity, log = dict(net), 0.0, np.zeros((n_steps, 2))
        order = np.empty(0, np.int64)
        for step in range(n_steps):
            if len(order) < n_unlabelled:
                order = rng.permutation(len(others))
            rows, order = order[:n_unlabelled], order[n_unlabelled:]
            own = rng.randint(len(Z), size=min(self.batch, len(Z)))
            probability = softmax(logits(net, self._weak(others[rows], rng)), axis=1)
            if self.align:
                means.append(probability.mean(axis=0))
                probability = probability / np.mean(means, axis=0)
                probability /= probability.sum(axis=1, keepdims=True)
            seen = UnlabelledBatch(
                rows, probability, probability.max(axis=1) >= self.tau, shrunk(probability, self.tau)
            )
            self._watch(seen)
            momentum = min(MOMENTUM, step / (step + 10))
            maturity = momentum * maturity + (1 - momentum) * float(seen.is_certain.mean())
            log[step] = seen.is_certain.mean(), (seen.is_certain | seen.found.is_shrunk).mean()
            views = np.concatenate([self._weak(Z[own], rng), self._strong(others[rows], rng)])
            steps = self._slopes(net, head, views, at[own], seen, maturity if self.weighs_time else 1.0)
            for adam, layers, gradient in zip(adams, (net, head), steps, strict=True):
                adam.learning_rate = self.learning_rate * np.cos(7 * np.pi * step / (16 * n_steps))
                adam.step(layers, gradient)
            self.layers_ = average(self.layers_, net, momentum)
        self.certain_, self.used_ = log.T

    def _slopes(
        self, net: Layers, head: Layers, views: np.ndarray, at: np.ndarray, seen: UnlabelledBatch, maturity: float
    ) -> tuple[Layers, Layers]:
        """Gradients of the network and of the auxiliary head, of views [n + b, d] of n labelled and b other rows."""
        n, k, top = len(at), len(self.classes_), seen.probability.argmax(axis=1)
        made = activations(net, views)
        _, labelled = cross_entropy(made[-1][:n], np.eye(k)[at])
        _, certain = cross_entropy(made[-1][n:], seen.probability, seen.is_certain / len(top))
        weight = self.shrink_weight * maturity / len(top) * seen.found.is_shrunk
        if self.weighs_rows:
            weight = weight * seen.probability.max(axis=1)
        if not self.auxiliary:
            certain = certain + shrunk_loss(made[-1][n:], top, seen.found.keep, weight)[1]
            return slopes(net, made, np.concatenate([labelled, certain]))[0], {}
        of_head = activations(head, made[-2][n:])
        _, slope = shrunk_loss(of_head[-1], top, seen.found.keep, weight)
        of_shrunk, by_hidden = slopes(head, of_head, slope)
        by_hidden = np.concatenate([np.zeros((n, by_hidden.shape[1])), by_hidden])
        both = np.concatenate([labelled, certain])
        return slopes(net, made, both, by_last_hidden=by_hidden)[0], of_shrunk
