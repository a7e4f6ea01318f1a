"""RCAL: a classifier for long tails and wrong labels, on real rows and on rows drawn from mended class Gaussians.

Each class of vectors is taken for a Gaussian; rows that lie far from their class are left out as wrongly labelled; mean
and covariance of rare classes are drawn towards those of near, frequent ones; rows drawn from all Gaussians make the
classes equally heavy, and a logistic regression learns both. The vectors must not come from a model that was trained on
the wrong labels. If most rows of a class are wrong, nothing here can tell: `noise_rate_` is what it assumes.
Source: M. Zhang et al., When Noisy Labels Meet Long Tail Dilemmas: A Representation Calibration Method, ICCV 2023,
arXiv 2211.10955: Gaussians after the Local Outlier Factor, calibration by q near head classes, sampling, cross-entropy.
Departures: its equations could be read only in part, so weights of head classes (rows over distance), both gammas and
what counts as rare (fewer rows than the median class) are ours; the encoder isn't trained; covariances are shrunk, on
principal axes; rows are left out by their outlier factor unless a share is given; drawn rows are weighted, not
multiplied.
Cost: O(n_k^2 m) for LOF of classes of n_k rows on m axes, O(k m^3), and the logistic regression; memory O(n d + k m^2).
"""

from typing import NamedTuple, Self

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

MIN_LOF = 5
"""Rows of a class below which none is left out."""
MAX_SHARE = 0.5
"""Of a class that may be left out."""
FAR = 1.5
"""A Local Outlier Factor above this is an outlier, as scikit-learn's `auto` has it (M. Breunig et al., SIGMOD 2000)."""


class Gaussians(NamedTuple):
    """Mean, covariance and rows of each class."""

    means: np.ndarray
    """[k, m]"""
    covariances: np.ndarray
    """[k, m, m]"""
    counts: np.ndarray
    """[k]"""


def outlier_factors(Z: np.ndarray, y: np.ndarray, *, n_neighbors: int = 10) -> np.ndarray:
    """Local Outlier Factor of each row among those of its label: [n, m], [n] -> [n]; about 1 is inside.

    Rows of classes too small for it have 1.
    """
    from sklearn.neighbors import LocalOutlierFactor

    found = np.ones(len(y))
    for name in np.unique(y):
        of = np.flatnonzero(y == name)
        if len(of) >= MIN_LOF:
            model = LocalOutlierFactor(min(n_neighbors, len(of) - 1)).fit(Z[of])
            found[of] = -model.negative_outlier_factor_
    return found


def left_out(factors: np.ndarray, y: np.ndarray, *, share: float | None = None) -> np.ndarray:
    """Rows to leave out: [n], [n] -> [n] bool; the highest `share` of each class, or those above FAR; half at most."""
    found = np.zeros(len(y), bool)
    for name in np.unique(y):
        of = np.flatnonzero(y == name)
        if len(of) >= MIN_LOF:
            most = int(len(of) * (MAX_SHARE if share is None else share))
            worst = of[np.argsort(-factors[of], kind="stable")[:most]]
            found[worst] = factors[worst] > (FAR if share is None else 0.0)
    return found


def class_gaussians(Z: np.ndarray, y: np.ndarray, k: int, *, shrinkage: float = 0.1) -> Gaussians:
    """Of rows [n, m] and class numbers [n]; covariances drawn to their mean variance, those of one row NaN."""
    m = Z.shape[1]
    means, covariances = np.zeros((k, m)), np.full((k, m, m), np.nan)
    counts = np.bincount(y, minlength=k)
    for at in range(k):
        own = Z[y == at]
        means[at] = own.mean(axis=0)
        if len(own) > 1:
            covariance = np.cov(own.T, ddof=1).reshape(m, m)
            covariances[at] = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / m * np.eye(m)
    return Gaussians(means, covariances, counts)


def lenders(found: Gaussians, q: int) -> np.ndarray:
    """How much each class takes from each head class: [k, k], rows of tail classes adding up to 1, of heads 0.

    Tail classes have fewer rows than the median class; they take from the q nearest heads, more from near, large ones.
    """
    is_tail = found.counts < np.median(found.counts)
    heads, weights = np.flatnonzero(~is_tail), np.zeros((len(is_tail), len(is_tail)))
    for at in np.flatnonzero(is_tail):
        gaps = np.linalg.norm(found.means[heads] - found.means[at], axis=1)
        near = np.argsort(gaps, kind="stable")[:q]
        weight = found.counts[heads[near]] / np.maximum(gaps[near], 1e-12)
        weights[at, heads[near]] = weight / weight.sum()
    return weights


def mended(found: Gaussians, weights: np.ndarray, *, gamma_mean: float, gamma_covariance: float) -> Gaussians:
    """Statistics of classes that take from others, drawn to what they take; the others keep theirs.

    A class of one row takes its covariance whole, from its lenders or the mean of all that have one.
    """
    means, covariances = found.means.copy(), found.covariances.copy()
    known = ~np.isnan(covariances[:, 0, 0])
    spread = covariances[known].mean(axis=0) if known.any() else np.eye(means.shape[1])
    usable = np.where(known[:, None, None], covariances, spread)
    for at in range(len(means)):
        own = gamma_covariance if known[at] else 1.0
        if weights[at].any():
            means[at] = (1 - gamma_mean) * found.means[at] + gamma_mean * weights[at] @ found.means
            lent = np.einsum("k,kij->ij", weights[at], usable)
            covariances[at] = (1 - own) * usable[at] + own * lent
        elif not known[at]:
            covariances[at] = spread
    return Gaussians(means, covariances, found.counts)


class RCAL(ClassifierMixin, BaseEstimator):
    """A logistic regression on the rows that fit their class and on rows drawn from mended Gaussians.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(90, 2)), rng.normal(size=(20, 2)) + 5])
    >>> y = np.array(["common"] * 90 + ["rare"] * 20)
    >>> y[:5] = "rare"  # five labels are wrong
    >>> RCAL(random_state=0).fit(X, y).predict(np.array([[0.0, 0.0], [5.0, 5.0]])).tolist()
    ['common', 'rare']
    """

    classes_: np.ndarray
    mean_: np.ndarray
    axes_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    centres_: np.ndarray
    roots_: np.ndarray
    noise_rate_: float
    is_left_out_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        *,
        contamination: float | None = None,
        q: int = 2,
        gamma_mean: float = 0.1,
        gamma_covariance: float = 0.5,
        n_samples: int = 100,
        keep_rows: bool = True,
        n_axes: int = 16,
        n_neighbors: int = 10,
        C: float = 1.0,
        random_state: int | None = None,
    ) -> None:
        """`contamination`: share of each class that is left out; None: what has a high outlier factor; 0: none.

        `q`: head classes that lend to a rare one; `gamma_mean`, `gamma_covariance`: how much, 0 to 1; `n_samples`: rows
        drawn a class; `keep_rows`: real rows are learned too; `n_axes`: principal axes; `n_neighbors`: of the outlier
        factor; `C`: inverse of the penalty.
        """
        self.contamination, self.q, self.gamma_mean, self.gamma_covariance = (
            contamination,
            q,
            gamma_mean,
            gamma_covariance,
        )
        self.n_samples, self.keep_rows, self.n_axes = n_samples, keep_rows, n_axes
        self.n_neighbors, self.C, self.random_state = n_neighbors, C, random_state

    def _check(self) -> None:
        if not (self.contamination is None or 0 <= self.contamination <= MAX_SHARE):
            raise ValueError(f"contamination must be none or in [0, {MAX_SHARE}], got {self.contamination}.")
        if not (0 <= self.gamma_mean <= 1 and 0 <= self.gamma_covariance <= 1 and self.q >= 1 and self.n_axes >= 1):
            raise ValueError(
                f"gamma_mean and gamma_covariance must be in [0, 1], q and n_axes at least 1, got {self.gamma_mean}, "
                f"{self.gamma_covariance}, {self.q} and {self.n_axes}."
            )
        if self.n_samples < 0 or (not self.n_samples and not self.keep_rows):
            raise ValueError(f"n_samples must be at least 0, above 0 without keep_rows, got {self.n_samples}.")

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from rows [n, d] and classes [n], some of them wrong.

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, or a setting is out of its range.
        """
        from sklearn import linear_model

        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, at = np.unique(y, return_inverse=True)
        if (k := len(self.classes_)) < 2:
            raise ValueError(f"RCAL needs two classes at least, got 1 class: {str(y[0])!r}.")
        self.mean_, self.axes_ = principal_axes(X, self.n_axes)
        Z = (X - self.mean_) @ self.axes_
        self.is_left_out_ = np.zeros(len(y), bool)
        if self.contamination != 0:
            factors = outlier_factors(Z, at, n_neighbors=self.n_neighbors)
            self.is_left_out_ = left_out(factors, at, share=self.contamination)
        self.noise_rate_ = float(self.is_left_out_.mean())
        Z, at = Z[~self.is_left_out_], at[~self.is_left_out_]
        plain = class_gaussians(Z, at, k)
        found = mended(plain, self._lenders(plain), gamma_mean=self.gamma_mean, gamma_covariance=self.gamma_covariance)
        self.centres_, self.roots_ = found.means, np.stack([_root(one) for one in found.covariances])
        rows, labels, weight = self._with_drawn(Z, at, found.counts)
        solver = linear_model.LogisticRegression(C=self.C, max_iter=1000).fit(rows, labels, sample_weight=weight)
        # of two classes the solver knows one function: the first one's is 0
        self.coef_ = solver.coef_ if k > 2 else np.vstack([np.zeros_like(solver.coef_), solver.coef_])
        self.intercept_ = solver.intercept_ if k > 2 else np.array([0.0, solver.intercept_[0]])
        return self

    def _lenders(self, found: Gaussians) -> np.ndarray:
        return lenders(found, self.q)

    def _with_drawn(
        self, Z: np.ndarray, at: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Rows, classes, weights: real rows weigh 1, drawn ones what their class lacks to the largest and n_samples."""
        if not self.n_samples:
            return Z, at, np.ones(len(at))
        rng, k = check_random_state(self.random_state), len(counts)
        noise = rng.standard_normal((k, self.n_samples, Z.shape[1]))
        drawn = self.centres_[:, None, :] + np.einsum("kij,ksj->ksi", self.roots_, noise)
        own = counts if self.keep_rows else np.zeros_like(counts)
        lacking = (counts.max() + self.n_samples - own) / self.n_samples
        labels, weight = np.repeat(np.arange(k), self.n_samples), np.repeat(lacking, self.n_samples)
        drawn = drawn.reshape(-1, Z.shape[1])
        if not self.keep_rows:
            return drawn, labels, weight
        return np.concatenate([Z, drawn]), np.concatenate([at, labels]), np.concatenate([np.ones(len(at)), weight])

    def _axes_of(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        found: np.ndarray = (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) @ self.axes_
        return found

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k], of classes that are equally frequent."""
        found: np.ndarray = softmax(self._axes_of(X) @ self.coef_.T + self.intercept_, axis=1)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]; of equally likely ones the first."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: log of the mean of the mended densities, [n, d] -> [n]; higher is more."""
        Z, m = self._axes_of(X), self.axes_.shape[1]
        logs = []
        for centre, root in zip(self.centres_, self.roots_, strict=True):
            gaps = np.linalg.solve(root, (Z - centre).T)  # [m, n]
            logs.append(-0.5 * (gaps**2).sum(axis=0) - np.linalg.slogdet(root)[1] - 0.5 * m * np.log(2 * np.pi))
        found: np.ndarray = logsumexp(logs, axis=0) - np.log(len(logs))
        return found

    def advice(self) -> str:
        """Which share of the rows it has taken for wrongly labelled."""
        check_is_fitted(self)
        rule = "by outlier factors" if self.contamination is None else f"as contamination {self.contamination:g} asks"
        return f"{self.noise_rate_:.1%} of the rows are taken for wrongly labelled and left out, {rule}"

    def state(self) -> State:
        """What was learned: classes, axes, Gaussians, weights, the share left out."""
        check_is_fitted(self)
        learnt = {name: getattr(self, f"{name}_") for name in _ARRAYS}
        return classes_state(self.classes_) | learnt | {"noise_rate": np.array([self.noise_rate_])}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this; which rows were left out isn't kept."""
        made = type(self)(**self.get_params())
        made.classes_, made.noise_rate_ = classes_of(state), float(state["noise_rate"][0])
        for name in _ARRAYS:
            setattr(made, f"{name}_", state[name])
        made.n_features_in_ = len(made.mean_)
        return made


_ARRAYS = ("mean", "axes", "coef", "intercept", "centres", "roots")


def principal_axes(X: np.ndarray, n_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d] and axes [d, m] of the standardised rows, all in one size so that distances stay what they were."""
    mean, spread = X.mean(axis=0), X.std(axis=0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9 * (np.abs(mean) + 1))
    _, sizes, V = np.linalg.svd((X - mean) * scale, full_matrices=False)
    kept = max(1, min(n_axes, int((sizes > 1e-9).sum())))
    axes: np.ndarray = scale[:, None] * V[:kept].T
    return mean, axes


def _root(covariance: np.ndarray) -> np.ndarray:
    """A triangle [m, m] whose square the covariance is, a little spread added where it has none."""
    m = len(covariance)
    floor = 1e-9 + 1e-6 * np.trace(covariance) / m
    found: np.ndarray = np.linalg.cholesky(covariance + floor * np.eye(m))
    return found
