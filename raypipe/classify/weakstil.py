"""WeakSTIL: scores of instances from one number a bag, by a small network whose mean over a bag is fitted to it.

A bag is a slide of tiles, or a document of chunks; only the bag has a number (a share, a quality). Each instance gets a
score in the number's unit, and a bag's prediction is the mean of its instances' scores, so both can be read. Bags are
averaged first, then compared, however different their sizes.
Source: Y. Schirris et al., WeakSTIL: Weak whole-slide image level stromal tumor infiltrating lymphocyte scores are all
you need, SPIE Medical Imaging 2022, arXiv 2109.05892: frozen features, a multiple-instance regressor, scores of tiles.
Departures: WeakSTIL-style, since only the abstract could be read: the mean as aggregate, the network of one hidden
layer and its fit by L-BFGS are ours; of a bag at most `max_instances` are learned from, drawn once, so that memory is
bounded.
Cost: O(r d h) an iteration for r instances kept and h hidden units; memory O(r (d + h)); r <= bags x max_instances.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from raypipe.arrays.scaling import scale_of
from raypipe.contracts.estimator import State


@dataclass
class BagMeans:
    """Mean score of each bag, whatever the parts that its instances come in."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def update(self, bags: np.ndarray, scores: np.ndarray) -> None:
        """Take in scores [n] of instances of these bags [n]."""
        names, at = np.unique(bags, return_inverse=True)
        for name, total, count in zip(names, np.bincount(at, scores), np.bincount(at), strict=True):
            self.sums[str(name)] = self.sums.get(str(name), 0.0) + float(total)
            self.counts[str(name)] = self.counts.get(str(name), 0) + int(count)

    def merge(self, other: "BagMeans") -> None:
        """Take in what another has."""
        for name, total in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + total
            self.counts[name] = self.counts.get(name, 0) + other.counts[name]

    def result(self) -> dict[str, float]:
        """The mean of each bag, by name."""
        return {name: self.sums[name] / self.counts[name] for name in sorted(self.sums)}


class WeakSTIL(RegressorMixin, BaseEstimator):
    """A regressor of instances that is taught by means of bags.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X, bags = rng.normal(size=(120, 1)), np.repeat(np.arange(30), 4)
    >>> y = np.repeat(X[:, 0].reshape(30, 4).mean(1), 4)  # only the mean of its bag is known of an instance
    >>> model = WeakSTIL(hidden=4, max_iter=40, random_state=0).fit(X, y, bags=bags)
    >>> bool(np.corrcoef(model.predict(X), X[:, 0])[0, 1] > 0.9)
    True
    """

    mean_: np.ndarray
    scale_: np.ndarray
    into_: np.ndarray
    bias_: np.ndarray
    out_: np.ndarray
    centre_: float
    spread_: float
    n_bags_: int
    n_iter_: int
    n_features_in_: int

    def __init__(
        self,
        *,
        hidden: int = 32,
        alpha: float = 1e-3,
        max_instances: int = 256,
        max_iter: int = 200,
        random_state: int | None = None,
    ) -> None:
        """`hidden`: units; `alpha`: penalty on squared weights; `max_instances`: learned from, of a bag; `max_iter`."""
        self.hidden, self.alpha, self.max_instances = hidden, alpha, max_instances
        self.max_iter, self.random_state = max_iter, random_state

    def fit(self, X: np.ndarray, y: np.ndarray, *, bags: np.ndarray | None = None) -> Self:
        """Learn from instances [n, d], the number of each one's bag [n] and its bag [n]; None: each is a bag.

        Raises
        ------
        ValueError
            If a number isn't finite, or the instances of a bag have several numbers.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        of = np.arange(len(y)) if bags is None else np.asarray(bags)
        if of.shape != y.shape:
            raise ValueError(f"bags must have one name an instance, got {of.shape} for {len(y)} instances.")
        _, first, at = np.unique(of, return_index=True, return_inverse=True)
        numbers = np.asarray(y, dtype=np.float64)
        if (apart := numbers[first][at] != numbers).any():
            raise ValueError(f"a bag must have one number, {str(of[apart][0])!r} has several.")
        order = np.argsort(at, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(at))[:-1])
        return self.fit_bags((X[rows], float(numbers[rows[0]])) for rows in parts)

    def fit_bags(self, bags: Iterable[tuple[np.ndarray, float]]) -> Self:
        """Learn from bags that come one at a time: instances [n_i, d] and the bag's number each.

        Raises
        ------
        ValueError
            If there is no bag, one has no instance, a number isn't finite, or a setting is out of its range.
        """
        if self.hidden < 1 or self.max_instances < 1 or self.max_iter < 1 or self.alpha < 0:
            raise ValueError(
                f"hidden, max_instances and max_iter must be at least 1, alpha at least 0, got {self.hidden}, "
                f"{self.max_instances}, {self.max_iter} and {self.alpha}."
            )
        rng = check_random_state(self.random_state)
        kept, numbers = [], []
        for at, (instances, number) in enumerate(bags):
            X = np.asarray(instances, dtype=np.float64)
            if X.ndim != 2 or not len(X):
                raise ValueError(f"a bag must have an instance, bag {at} has the shape {X.shape}.")
            if not (np.isfinite(X).all() and np.isfinite(number)):
                raise ValueError(f"numbers must be finite, those of bag {at} are not (NaN or infinite).")
            kept.append(
                X if len(X) <= self.max_instances else X[np.sort(rng.permutation(len(X))[: self.max_instances])]
            )
            numbers.append(float(number))
        if not kept:
            raise ValueError("there must be a bag, got none.")
        self._learn(kept, np.array(numbers), rng)
        return self

    def _learn(self, kept: list[np.ndarray], y: np.ndarray, rng: np.random.RandomState) -> None:
        from scipy.optimize import minimize

        self.n_bags_, self.n_features_in_ = len(kept), kept[0].shape[1]
        self.mean_ = np.mean([X.mean(axis=0) for X in kept], axis=0)
        spread = np.sqrt(np.mean([((X - self.mean_) ** 2).mean(axis=0) for X in kept], axis=0))
        self.scale_ = scale_of(spread, self.mean_)
        self.centre_, self.spread_ = float(y.mean()), float(y.std()) or 1.0
        Z, sizes = (np.concatenate(kept) - self.mean_) / self.scale_, np.array([len(X) for X in kept])
        at, target, d = np.repeat(np.arange(len(sizes)), sizes), (y - self.centre_) / self.spread_, Z.shape[1]
        begin = np.concatenate([rng.standard_normal((d + 1) * self.hidden) / np.sqrt(d), np.zeros(self.hidden + 1)])
        begin[(d + 1) * self.hidden : -1] = rng.standard_normal(self.hidden) / np.sqrt(self.hidden)
        found = minimize(
            bag_loss, begin, args=(Z, at, sizes, target, self.hidden, self.alpha), jac=True, method="L-BFGS-B",
            options={"maxiter": self.max_iter},
        )  # fmt: skip
        self.into_, self.bias_, self.out_ = unpacked(found.x, d, self.hidden)
        self.n_iter_ = int(found.nit)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Scores of instances, in the unit of the bags' numbers: [n, d] -> [n]."""
        check_is_fitted(self)
        Z = (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.scale_
        found: np.ndarray = self.centre_ + self.spread_ * (
            np.tanh(Z @ self.into_ + self.bias_) @ self.out_[:-1] + self.out_[-1]
        )
        return found

    def predict_bags(self, X: np.ndarray, bags: np.ndarray) -> dict[str, float]:
        """The prediction for each bag, the mean of its instances' scores: [n, d], [n] -> by name."""
        means = BagMeans()
        means.update(np.asarray(bags), self.predict(X))
        return means.result()

    def state(self) -> State:
        """What was learned: scaling, weights."""
        check_is_fitted(self)
        learnt = {name: getattr(self, f"{name}_") for name in _ARRAYS}
        return learnt | {
            "unit": np.array([self.centre_, self.spread_]),
            "counts": np.array([self.n_bags_, self.n_iter_]),
        }

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        for name in _ARRAYS:
            setattr(made, f"{name}_", state[name])
        made.centre_, made.spread_ = map(float, state["unit"])
        made.n_bags_, made.n_iter_ = map(int, state["counts"])
        made.n_features_in_ = len(made.mean_)
        return made


_ARRAYS = ("mean", "scale", "into", "bias", "out")


def unpacked(weights: np.ndarray, d: int, hidden: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights in a row -> into the hidden units [d, h], their bias [h], out of them and the last bias [h + 1]."""
    return (
        weights[: d * hidden].reshape(d, hidden),
        weights[d * hidden : (d + 1) * hidden],
        weights[(d + 1) * hidden :],
    )


def bag_loss(
    weights: np.ndarray, Z: np.ndarray, at: np.ndarray, sizes: np.ndarray, target: np.ndarray, hidden: int, alpha: float
) -> tuple[float, np.ndarray]:
    """Mean over bags of (mean score - number)^2, and alpha times squared weights (no bias), with the gradient.

    Instances [r, d] stand bag by bag: `at` [r] is the bag of each, `sizes` [b] their number, `target` [b] the numbers.
    """
    into, bias, out = unpacked(weights, Z.shape[1], hidden)
    units = np.tanh(Z @ into + bias)
    gaps = np.bincount(at, units @ out[:-1] + out[-1]) / sizes - target
    slope = (2 * gaps / (len(sizes) * sizes))[at]  # [r], by the score of an instance
    by_units = slope[:, None] * out[:-1] * (1 - units**2)
    gradient = np.concatenate(
        [
            (Z.T @ by_units + 2 * alpha * into).ravel(),
            by_units.sum(axis=0),
            units.T @ slope + 2 * alpha * out[:-1],
            [slope.sum()],
        ]
    )
    penalty = alpha * float((into**2).sum() + (out[:-1] ** 2).sum())
    return float((gaps**2).mean()) + penalty, gradient
