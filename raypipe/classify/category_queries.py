"""Category queries: of very many classes a row first keeps the K likeliest, and is told apart among these only.

A sigmoid over all C classes drowns what a row says of its own class in easy negatives, rare classes most; among K kept
ones positives weigh C / K times as much. Each class is a vector, started at its name's embedding where names are given
(of the same encoder as the rows), else at the mean of its rows. Compare with the nearest name, which needs no training
and stays better on classes of a few rows: `nearest_name`.
Source: Z. Sun et al., CQ-DINO: Mitigating Gradient Dilution in Large-Scale Vocabulary Object Detection, NeurIPS 2025,
arXiv 2503.18430: class vectors from names, relations, selection of K and its asymmetric loss, contrast among them,
hierarchical mask.
Departures: no boxes, one vector a row; the selector is a matrix between rows and class vectors, not a transformer, and
learns from the asymmetric loss apart from the vectors; plain cross-entropy among the K; each class has a bias, started
at 1 %, which has no say in what is kept. A class that isn't kept can't be answered: `kept` tells recall@K, which bounds
accuracy.
Cost: O(b C d) a step for b rows, and [b, C] float32; O(n C d) to predict, 1024 rows at a time.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from raypipe.classify.category_relations import along_tree, ancestors, by_attention
from raypipe.classify.category_training import START, Guide, QueryTraining, QueryWeights, Relations, adam, highest
from raypipe.classify.label_metrics import pairs_of
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state

BLOCK = 1024
"""Rows that are predicted together."""
ROW_LENGTH = 4.0
"""Of rows on average, in training. Adam moves each number alike: with short rows biases answer before class vectors do,
and hold rare classes down, which are seldom right among those kept."""
Names = Mapping[Any, np.ndarray]


def to_unit(X: np.ndarray) -> np.ndarray:
    """Rows [n, d] less their mean, of length 1; zeros, which say nothing, stay zeros and don't count in the mean."""
    says = X.any(axis=1, keepdims=True)
    X = np.where(says, X - X.sum(axis=0) / max(1, says.sum()), 0.0)
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    found: np.ndarray = np.divide(X, lengths, out=np.zeros_like(X), where=lengths > 1e-12)
    return found


def nearest_name(X: np.ndarray, names: Names) -> np.ndarray:
    """The label whose name is nearest by the cosine, without any training: [n, d] -> [n]."""
    labels = np.unique(list(names))
    vectors = to_unit(np.stack([names[label] for label in labels.tolist()]))
    found: np.ndarray = labels[((X - X.mean(axis=0)) @ vectors.T).argmax(axis=1)]
    return found


class CategoryQueries(ClassifierMixin, BaseEstimator):
    """Sigmoids among the K classes that a row keeps.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat(np.eye(4), 5, axis=0) + rng.normal(size=(20, 4)) / 10
    >>> y = np.repeat(["a", "b", "c", "d"], 5)
    >>> model = CategoryQueries(n_kept=2, n_steps=50, random_state=0).fit(X, y)
    >>> model.predict(np.eye(4)).tolist()
    ['a', 'b', 'c', 'd']
    """

    takes_names: ClassVar[bool] = True
    """`fit` takes vectors of the classes' names."""
    classes_: np.ndarray
    vectors_: np.ndarray
    selector_: np.ndarray
    bias_: np.ndarray
    mean_: np.ndarray
    size_: np.ndarray
    gradient_ratio_: np.ndarray
    n_features_in_: int

    def __init__(
        self,
        *,
        n_kept: int = 100,
        guide: Guide = "vectors",
        relations: Relations = "none",
        parents: str | None = None,
        keep_own: bool = False,
        start: float = 1.0,
        n_steps: int = 400,
        batch_rows: int = 512,
        learning_rate: float = 3e-3,
        random_state: int | None = None,
    ) -> None:
        """`n_kept`: K. `guide`: what picks them: the class vectors, a map learned from rows, or the names as they are.

        `parents`: a hierarchy of labels, as `cat>mammal;dog>mammal`; a row says nothing of its label's ancestors.
        `relations`: whether a class takes from its children in it, or from classes of like names. `keep_own`: in
        training a row's own class is always kept. `start`: length of class vectors when training begins, rows being 4
        long; the longer, the more it keeps of the names. Adam for `n_steps` of `batch_rows` rows.
        """
        self.n_kept, self.guide, self.relations, self.parents = n_kept, guide, relations, parents
        self.keep_own, self.start, self.n_steps, self.batch_rows = keep_own, start, n_steps, batch_rows
        self.learning_rate, self.random_state = learning_rate, random_state

    def fit(self, X: np.ndarray, y: np.ndarray, *, names: Names | None = None) -> Self:
        """Learn from rows [n, d] and classes [n]; `names`: a vector [d] of each label, also of some that have no row.

        Raises
        ------
        ValueError
            If a number isn't finite, there are fewer than two classes, or a setting is out of its range.
        """
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        if len(np.unique(y)) < 2:
            raise ValueError(f"CategoryQueries needs two classes at least, got 1 class: {str(y[0])!r}.")
        return self._fit(X, [[label] for label in y.tolist()], names)

    def fit_many(self, X: np.ndarray, labels: Sequence[Sequence[Hashable]], *, names: Names | None = None) -> Self:
        """Learn from rows [n, d] that have any number of labels each.

        Raises
        ------
        ValueError
            As `fit`; or if there aren't as many lists of labels as rows.
        """
        X = validate_data(self, X, dtype=np.float64)
        if len(labels) != len(X) or len({label for of in labels for label in of}) < 2:
            raise ValueError(f"labels must be a list for each of {len(X)} rows, of two classes at least.")
        return self._fit(X, labels, names)

    def _fit(self, X: np.ndarray, labels: Sequence[Sequence[Hashable]], names: Names | None) -> Self:
        if min(self.n_kept, self.n_steps, self.batch_rows) < 1 or min(self.learning_rate, self.start) <= 0:
            raise ValueError(
                f"n_kept, n_steps, batch_rows must be at least 1, learning_rate and start above 0, got {self.n_kept}, "
                f"{self.n_steps}, {self.batch_rows}, {self.learning_rate} and {self.start}."
            )
        if self.relations == "tree" and self.parents is None:
            raise ValueError("relations=tree needs parents, which say what is above what.")
        parents = dict(pairs_of(self.parents)) if self.parents else {}
        own = [label for of in labels for label in of]
        self.classes_ = np.unique(np.array([*own, *(names or ()), *parents, *parents.values()]))
        rows = np.repeat(np.arange(len(X)), [len(of) for of in labels])
        at = np.searchsorted(self.classes_, np.array(own))
        self.mean_ = X.mean(axis=0)
        Z = X - self.mean_
        self.size_ = np.array([max(float(np.linalg.norm(Z, axis=1).mean()) / ROW_LENGTH, 1e-12)])
        Z /= self.size_
        start = self._start(Z, rows, at, names, parents)
        mixing = {"tree": lambda: along_tree(parents, self.classes_), "attention": lambda: by_attention(start)}
        mix = mixing[self.relations]() if self.relations in mixing else None
        above = ancestors(parents, self.classes_) if parents else None
        self._train(
            Z, csr_array((np.ones(len(at), np.float32), (rows, at)), shape=(len(Z), len(start))), start, mix, above
        )
        return self

    def _start(
        self, Z: np.ndarray, rows: np.ndarray, at: np.ndarray, names: Names | None, parents: Mapping[str, str]
    ) -> np.ndarray:
        """Unit vectors [C, d]: names where they say something, means of rows where not, else the mean of children."""
        sums = np.zeros((len(self.classes_), Z.shape[1]))
        np.add.at(sums, at, Z[rows])
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        found: np.ndarray = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 1e-12)
        if names:
            labels = np.array(list(names))
            vectors = to_unit(np.stack([np.asarray(names[label], np.float64) for label in names]))
            says = vectors.any(axis=1)
            found[np.searchsorted(self.classes_, labels[says])] = vectors[says]
        if parents:
            above = ancestors(parents, self.classes_)
            for empty in np.flatnonzero(~found.any(axis=1) & above.any(axis=0)):
                found[empty] = found[above[:, empty]].mean(axis=0)
        return found

    def _train(
        self, Z: np.ndarray, labels: csr_array, start: np.ndarray, mix: np.ndarray | None, above: np.ndarray | None
    ) -> None:
        rng, n = check_random_state(self.random_state), len(Z)
        names = start.astype(np.float32)
        relate = None if mix is None else mix.astype(np.float32)
        training = QueryTraining(names, relate, above, self.guide, self.n_kept, self.keep_own)
        weights = QueryWeights(
            self.start * names,
            np.full(len(names), START, np.float32),
            np.eye(Z.shape[1], dtype=np.float32),
            np.array([START], np.float32),
        )
        step, ratios = adam(weights, self.learning_rate), []
        for _ in range(self.n_steps):
            of = rng.randint(n, size=self.batch_rows) if n > self.batch_rows else np.arange(n)
            slopes, ratio = training.slopes(weights, Z[of].astype(np.float32), labels[of].toarray() > 0)
            step(slopes)
            ratios.append(ratio)
        self.vectors_, self.bias_, self.gradient_ratio_ = training.vectors(weights), weights.bias, np.array(ratios)
        by = {"vectors": self.vectors_, "names": names, "rows": self.vectors_ @ weights.selector.T}
        self.selector_ = by[self.guide]

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        found: np.ndarray = (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.size_
        return found

    def _logits(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of all classes, and places of those that are kept: [n, d] -> [n, C], [n, K]."""
        products = Z @ self.vectors_.T.astype(np.float64)
        chosen_by = products if self.guide == "vectors" else Z @ self.selector_.T.astype(np.float64)
        return products + self.bias_, highest(chosen_by, self.n_kept)

    def _by_blocks(self, X: np.ndarray, made: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        Z = self._scaled(X)
        return np.concatenate([made(*self._logits(Z[at : at + BLOCK])) for at in range(0, max(1, len(Z)), BLOCK)])

    def kept(self, X: np.ndarray) -> np.ndarray:
        """Positions in `classes_` of the K classes of each row: [n, d] -> [n, K], in no order."""
        return self._by_blocks(X, lambda _, kept: kept)

    def probabilities(self, X: np.ndarray) -> np.ndarray:
        """Of each class for itself, for rows of many labels: [n, d] -> [n, C], 0 of those that aren't kept."""
        return self._by_blocks(
            X, lambda logits, kept: _spread(expit(np.take_along_axis(logits, kept, 1)), kept, logits)
        )

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax among those that are kept: [n, d] -> [n, C], 0 of the others."""
        return self._by_blocks(
            X, lambda logits, kept: _spread(softmax(np.take_along_axis(logits, kept, 1), axis=1), kept, logits)
        )

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class that is kept: [n, d] -> [n]; of equally likely ones the first."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: its highest logit among those kept, [n, d] -> [n]; higher is more."""
        return self._by_blocks(X, lambda logits, kept: np.take_along_axis(logits, kept, 1).max(axis=1))

    def explain(self, X: np.ndarray, names: Sequence[str]) -> list[str]:
        """The likeliest classes of each row [n, d] among those kept; columns aren't named."""
        probability = self.predict_proba(X)
        best = np.argsort(-probability, axis=1, kind="stable")[:, :3]
        n_kept, n = min(self.n_kept, len(self.classes_)), len(self.classes_)
        said = [
            ", ".join(f"{self.classes_[at]} ({row[at]:.2f})" for at in three)
            for row, three in zip(probability, best, strict=True)
        ]
        return [f"of {n_kept} kept of {n} classes: {one}" for one in said]

    def state(self) -> State:
        """What was learned: labels, vectors, what picks them, bias, scaling, the gradient ratio of each step."""
        check_is_fitted(self)
        return classes_state(self.classes_) | {name: getattr(self, f"{name}_") for name in _ARRAYS}

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_ = classes_of(state)
        for name in _ARRAYS:
            setattr(made, f"{name}_", state[name])
        made.n_features_in_ = len(made.mean_)
        return made


_ARRAYS = ("vectors", "selector", "bias", "mean", "size", "gradient_ratio")


def _spread(values: np.ndarray, kept: np.ndarray, like: np.ndarray) -> np.ndarray:
    found = np.zeros_like(like)
    np.put_along_axis(found, kept, values, 1)
    return found
