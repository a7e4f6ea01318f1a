"""SMOTE: new rows of small classes on the lines between a row and its nearest neighbours of the same class.

`SMOTE.fit_resample` gives rows for any classifier; `fit` puts a logistic regression on scaled features behind it.
Resample the rows that are fitted on, after the split: copies nearly alike on both sides inflate every score.
Source: N. Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, JAIR 16, 2002: section 4.2 (rows and
neighbours), 6.1 (SMOTE-NC, mixed columns), 6.2 (SMOTE-N, nominal columns with the Value Difference Metric).
Departures: one gap a row, as its text says, or one an attribute, as its pseudo-code does; any number of new rows, each
row being used equally often, by one; of more than two classes every smaller one is raised; features are standardised
before distances are taken; in a class of k rows or fewer all others are neighbours. Its descendants (`sampler`)
are imbalanced-learn's, see `smote_descendants`.
Cost: O(m^2 d) for m rows of a class, plus the classifier; majority rows are only counted and kept.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from raypipe.arrays.hashing import uniform
from raypipe.arrays.scaling import mean_and_scale
from raypipe.classify.logistic_regression import of_each_class
from raypipe.classify.smote_descendants import NAMES, Sampler, new_rows
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

CHUNK = 1024
"""Rows whose distances to all others are taken together."""
SPARE = 8
"""Neighbours more than asked for that are looked at again."""
PRODUCTS_ERR = 1e-15
"""Of a squared distance by products, for each column, of the squared lengths: a few roundings."""


def neighbours(X: np.ndarray, k: int) -> np.ndarray:
    """The k nearest other rows of each row, of equally near ones the first: [m, d] -> positions [m, min(k, m - 1)].

    Matrix products say which rows can be among them, differences which are; where products aren't exact enough to
    say, as among many equal rows, all differences are taken.
    """
    m, k = len(X), min(k, len(X) - 1)
    n_likely = k + 1 + SPARE
    if m <= 2 * n_likely:
        return _nearest(cdist(X, X), 0, k)
    likely, beyond = _likely(X, n_likely)
    chunks = [slice(at, at + CHUNK) for at in range(0, m, CHUNK)]
    squares = np.concatenate([((X[likely[rows]] - X[rows, None]) ** 2).sum(axis=2) for rows in chunks])
    squares[likely == np.arange(m)[:, None]] = np.inf
    order = squares.argsort(axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(likely, order, axis=1)
    lengths = (X**2).sum(axis=1)
    uncertain = PRODUCTS_ERR * X.shape[1] * (lengths + lengths.max())
    farthest = np.take_along_axis(squares, order[:, -1:], axis=1)[:, 0]
    open_rows = np.flatnonzero(~(farthest < beyond - uncertain))
    for at in range(0, len(open_rows), CHUNK):
        rows = open_rows[at : at + CHUNK]
        found[rows] = _nearest(cdist(X[rows], X), rows, k)
    return found


def _likely(X: np.ndarray, n_likely: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that matrix products say are nearest, in the order of rows, and the least square of all others, about."""
    from sklearn.neighbors import NearestNeighbors

    distances, found = NearestNeighbors(n_neighbors=n_likely, algorithm="brute").fit(X).kneighbors(X)
    return np.sort(found, axis=1), distances[:, -1] ** 2


def _nearest(distances: np.ndarray, own: int | np.ndarray, k: int) -> np.ndarray:
    """Of a block of rows, numbered `own` or from it on; none is its own neighbour, though others may be equal to it."""
    rows = np.arange(len(distances))
    distances[rows, own if isinstance(own, np.ndarray) else own + rows] = np.inf
    found: np.ndarray = distances.argsort(axis=1, kind="stable")[:, : min(k, distances.shape[1] - 1)]
    return found


def parents(n_new: int, near: np.ndarray, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """A row and one of its neighbours [m, k] for each new row, rows being used equally often, by one: [n_new] each."""
    m, k = near.shape
    rows = np.concatenate([np.repeat(np.arange(m), n_new // m), rng.permutation(m)[: n_new % m]])
    return rows, near[rows, rng.randint(k, size=n_new)]


def between(
    X: np.ndarray, n_new: int, near: np.ndarray, rng: np.random.RandomState, *, per_attribute: bool = False
) -> np.ndarray:  # fmt: skip
    """New rows [n_new, d] on lines between rows [m, d] and their neighbours [m, k], or in the boxes between them."""
    rows, others = parents(n_new, near, rng)
    gaps = rng.uniform(size=(n_new, X.shape[1] if per_attribute else 1))
    found: np.ndarray = X[others]
    found -= X[rows]
    found *= gaps
    found += X[rows]
    return found


def smote_nc(X: np.ndarray, n_new: int, *, nominal: Sequence[int], k: int = 5, random_state: int = 0) -> np.ndarray:
    """New rows of a class [m, d] with numbers and codes: numbers between two rows, codes as most of the k neighbours.

    Rows whose codes differ are farther apart by the median of the columns' standard deviations, for each such column.

    >>> import numpy as np
    >>> X = np.array([[1.0, 0], [2.0, 0], [3.0, 0]])  # a number and a code
    >>> smote_nc(X, 2, nominal=[1], k=2)[:, 1].tolist()
    [0.0, 0.0]

    Raises
    ------
    ValueError
        If there are fewer than two rows, or no column of numbers.
    """
    codes = np.zeros(X.shape[1], bool)
    codes[list(nominal)] = True
    _enough(len(X), k)
    if codes.all():
        raise ValueError(f"smote_nc needs a column of numbers, all {X.shape[1]} are nominal; smote_n is for these.")
    rng, median = check_random_state(random_state), float(np.median(X[:, ~codes].std(axis=0)))
    squares = cdist(X[:, ~codes], X[:, ~codes], "sqeuclidean")
    if codes.any():
        squares += median**2 * codes.sum() * cdist(X[:, codes], X[:, codes], "hamming")
    near = _nearest(squares, 0, k)
    rows, others = parents(n_new, near, rng)
    found = X[rows] + rng.uniform(size=(n_new, 1)) * (X[others] - X[rows])
    for column in np.flatnonzero(codes):
        found[:, column] = _most(X[near[rows], column])
    return np.asarray(found)


def smote_n(
    X: np.ndarray, y: np.ndarray, label: object, n_new: int, *, k: int = 5, r: float = 2.0, random_state: int = 0
) -> np.ndarray:
    """New rows of class `label` of codes [n, d], classes [n]: in each column the code of most of a row and neighbours.

    Raises
    ------
    ValueError
        If the class has fewer than two rows.
    """
    own = X[y == label]
    _enough(len(own), k)
    near = _nearest(value_differences(X, y, own, r=r), 0, k)
    voters = np.concatenate([np.arange(len(own))[:, None], near], axis=1)
    rows, _ = parents(n_new, near, check_random_state(random_state))
    return np.stack([_most(own[voters[rows], column]) for column in range(X.shape[1])], axis=1)


def value_differences(X: np.ndarray, y: np.ndarray, rows: np.ndarray, *, r: float = 2.0) -> np.ndarray:
    """The Value Difference Metric between rows of codes [m, d] by what classes their codes go with in X, y: [m, m].

    A column adds (sum over classes of |share of the class among rows of one code - among rows of the other|)^r.
    """
    found = np.zeros((len(rows), len(rows)))
    _, classes = np.unique(y, return_inverse=True)
    for column in range(X.shape[1]):
        values, at = np.unique(X[:, column], return_inverse=True)
        counts = np.zeros((len(values), classes.max() + 1))
        np.add.at(counts, (at, classes), 1)
        shares = (counts / counts.sum(axis=1, keepdims=True))[np.searchsorted(values, rows[:, column])]
        found += cdist(shares, shares, "cityblock") ** r
    return found


def _most(votes: np.ndarray) -> np.ndarray:
    """The commonest value of each row, of equally common ones the lowest: [n, k] -> [n]."""
    values, at = np.unique(votes, return_inverse=True)
    counts = (at.reshape(votes.shape)[:, :, None] == np.arange(len(values))).sum(axis=1)
    found: np.ndarray = values[counts.argmax(axis=1)]
    return found


def _enough(m: int, k: int, name: str = "the class") -> None:
    if m < 2 or k < 1:
        raise ValueError(f"{name} must have two rows at least and k be at least 1, got {m} rows and k {k}.")


def gathered(
    parts: Iterable[tuple[np.ndarray, np.ndarray]], *, majority: object, n_majority: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a stream of parts (X [n, d], y [n]): all but the majority's, of which `n_majority` are kept at random.

    The draw is by a hash of a row and the seed, so it and the order are the same for any cut and order of the parts;
    memory is what is kept and one part.
    """
    kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for X, y in parts:
        rows = np.ascontiguousarray(X, dtype=np.float64)
        hashes = np.array([_bits(row) for row in rows], np.uint64).view(np.int64)
        kept.append((rows, np.asarray(y), uniform(hashes, seed=seed, purpose="smote")))
        X, y, keys = (np.concatenate(one) for one in zip(*kept, strict=True))
        rank = np.lexsort((keys, y == majority))
        kept = [tuple(one[rank][: int((y != majority).sum()) + n_majority] for one in (X, y, keys))]  # type: ignore[list-item]
    if not kept:
        raise ValueError("a stream must have rows, got no part.")
    return kept[0][0], kept[0][1]


def _bits(row: np.ndarray) -> int:
    return int.from_bytes(blake2b(row.tobytes(), digest_size=8).digest(), "little")


class SMOTE(ClassifierMixin, BaseEstimator):
    """A logistic regression on rows whose small classes are filled up.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(8, 2)) + 3])
    >>> y = np.array(["common"] * 60 + ["rare"] * 8)
    >>> SMOTE(random_state=0).fit(X, y).predict(np.array([[0.0, 0.0], [3.0, 3.0]])).tolist()
    ['common', 'rare']
    """

    classes_: np.ndarray
    mean_: np.ndarray
    scale_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        *,
        percent: float | None = None,
        under: float | None = None,
        k: int = 5,
        per_attribute: bool = False,
        sampler: Sampler = "smote",
        C: float = 1.0,
        random_state: int | None = None,
    ) -> None:
        """`percent`: new rows of every smaller class, of its rows; None: as many as the largest class has.

        `under`: then rows of the largest class are dropped until the next has so many per cent of it; None: none.
        `k`: neighbours; `per_attribute`: a gap an attribute, not a row; `sampler`: SMOTE or one of its descendants,
        which want imbalanced-learn; `C`: inverse of the classifier's penalty.
        """
        self.percent, self.under, self.k = percent, under, k
        self.per_attribute, self.sampler, self.C, self.random_state = per_attribute, sampler, C, random_state

    def fit_resample(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows [n, d], [n], those of the largest class perhaps fewer, and then the new ones.

        Raises
        ------
        ValueError
            If a class that is to grow has one row, or a setting is out of its range.
        """
        if (self.percent is not None and self.percent < 0) or (self.under is not None and self.under <= 0):
            raise ValueError(f"percent must be at least 0, under above 0, got {self.percent} and {self.under}.")
        if self.sampler not in (*NAMES, "smote") or (self.per_attribute and self.sampler != "smote"):
            raise ValueError(
                f"sampler must be smote or, without per_attribute, one of {', '.join(NAMES)}, got {self.sampler!r}."
            )
        rng = check_random_state(self.random_state)
        names, counts = np.unique(y, return_counts=True)
        largest = int(counts.argmax())
        smaller = {name: m for name, m in zip(names.tolist(), counts.tolist(), strict=True) if m < counts[largest]}
        n_new = {name: self._n_new(m, int(counts[largest])) for name, m in smaller.items()}
        n_new = {name: n for name, n in n_new.items() if n > 0}
        for name in n_new:
            _enough(smaller[name], self.k, f"class {str(name)!r}")
        rows, labels = self._filled(X, y, n_new, rng) if n_new else ([], [])
        X, y = np.concatenate([X, *rows]), np.concatenate([y, *labels])
        return (X, y) if self.under is None else self._thinned(X, y, names[largest], rng)

    def _n_new(self, m: int, largest: int) -> int:
        return largest - m if self.percent is None else round(m * self.percent / 100)

    def _filled(
        self, X: np.ndarray, y: np.ndarray, n_new: dict[Any, int], rng: np.random.RandomState
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:  # fmt: skip
        """New rows and their classes, in parts."""
        if self.sampler != "smote":
            least = min(int((y == name).sum()) for name in n_new)
            counts = {name: int((y == name).sum()) + n for name, n in n_new.items()}
            found, of = new_rows(self.sampler, X, y, counts, k=min(self.k, least - 1), random_state=rng)
            return [found], [of]
        mean, scale = mean_and_scale(X)
        rows = []
        for name, n in n_new.items():
            of = np.flatnonzero(y == name)
            near = neighbours((X[of] - mean) / scale, self.k)
            rows.append(between(X[of], n, near, rng, per_attribute=self.per_attribute))
        return rows, [np.full(n, name, y.dtype) for name, n in n_new.items()]

    def _thinned(
        self, X: np.ndarray, y: np.ndarray, name: object, rng: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        assert self.under is not None
        of, others = np.flatnonzero(y == name), np.unique(y[y != name], return_counts=True)[1]
        n_kept = min(len(of), max(1, round(others.max() * 100 / self.under))) if len(others) else len(of)
        kept = np.sort(np.concatenate([np.flatnonzero(y != name), rng.permutation(of)[:n_kept]]))
        return X[kept], y[kept]

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Resample rows [n, d] and classes [n], and learn from them.

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, or one that is to grow has one row.
        """
        from sklearn import linear_model

        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if len(np.unique(y)) < 2:
            raise ValueError(f"SMOTE needs two classes at least, got 1 class: {str(y[0])!r}.")
        X, y = self.fit_resample(X, y)
        self.mean_, self.scale_ = mean_and_scale(X)
        solver = linear_model.LogisticRegression(C=self.C, max_iter=1000).fit((X - self.mean_) / self.scale_, y)
        self.classes_ = solver.classes_
        self.coef_, self.intercept_ = of_each_class(solver)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k], of classes as frequent as after resampling."""
        check_is_fitted(self)
        X = (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.scale_
        found: np.ndarray = softmax(X @ self.coef_.T + self.intercept_, axis=1)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]; of equally likely ones the first."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def state(self) -> State:
        """What was learned: names of the classes, scaling, weights."""
        check_is_fitted(self)
        learnt = {"mean": self.mean_, "scale": self.scale_, "coef": self.coef_, "intercept": self.intercept_}
        return classes_state(self.classes_) | learnt

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_, made.mean_, made.scale_ = classes_of(state), state["mean"], state["scale"]
        made.coef_, made.intercept_, made.n_features_in_ = state["coef"], state["intercept"], len(state["mean"])
        return made
