"""SMOTE for tables of numbers and categories: new rows of small classes, then a logistic regression.

Numbers of a new row lie between those of a row and a near one of its class, categories are those of most neighbours
(SMOTE-NC); where all columns are categories, rows are near whose values go with the same classes (SMOTE-N).
Source: N. Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, JAIR 16, 2002, sections 6.1 and 6.2.
Departures: every class smaller than the largest is raised to it; numbers are standardised before distances are taken;
an empty number becomes the column's mean, an empty category is one of its own; a class of one row stays one.
Cost: O(m^2 d) for m rows of a class, all at once; a category is a column of 0 and 1 for the regression.
"""

from typing import ClassVar, Literal, Self

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from raypipe.arrays.scaling import mean_and_scale
from raypipe.classify.logistic_regression import of_each_class
from raypipe.classify.smote import smote_n, smote_nc
from raypipe.classify.tables import as_cells, column_of
from raypipe.contracts.estimator import State
from raypipe.fitting.classes import classes_of, classes_state


class MixedSMOTE(ClassifierMixin, BaseEstimator):
    """A logistic regression on a table whose small classes are filled up.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.empty((68, 2), object)
    >>> X[:, 0] = np.concatenate([rng.normal(size=60), rng.normal(size=8) + 4])
    >>> X[:, 1] = ["red"] * 60 + ["blue"] * 8
    >>> y = np.array(["common"] * 60 + ["rare"] * 8)
    >>> MixedSMOTE(random_state=0).fit(X, y).predict(np.array([[0.0, "red"], [4.0, "blue"]], object)).tolist()
    ['common', 'rare']
    """

    takes: ClassVar[Literal["table"]] = "table"
    classes_: np.ndarray
    is_category_: np.ndarray
    categories_: list[np.ndarray]
    mean_: np.ndarray
    scale_: np.ndarray
    coef_: np.ndarray
    intercept_: np.ndarray
    n_features_in_: int

    def __init__(self, *, k: int = 5, C: float = 1.0, random_state: int | None = None) -> None:
        """`k`: neighbours; `C`: inverse of the classifier's penalty."""
        self.k, self.C, self.random_state = k, C, random_state

    def __sklearn_tags__(self) -> Tags:
        """Cells may be categories; an empty number is a mean, so NaN is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan, tags.input_tags.categorical, tags.input_tags.string = True, True, True
        return tags

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Fill up the classes of rows of cells [n, d], [n], and learn from all.

        Raises
        ------
        ValueError
            If there are fewer than two classes, a number is infinite, or k is below 1.
        """
        from sklearn import linear_model

        X, y = validate_data(self, as_cells(X), y, dtype=None, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        if self.k < 1 or len(np.unique(y)) < 2:
            raise ValueError(
                f"MixedSMOTE needs two classes at least and k of at least 1, got k {self.k} and "
                f"{len(np.unique(y))} class: {str(y[0])!r}."
            )
        read = [column_of(X, column) for column in range(X.shape[1])]
        self.is_category_ = np.array([texts is not None for _, texts in read])
        self.categories_ = [np.unique(_texts(*one)) if one[1] is not None else np.empty(0, str) for one in read]
        self.mean_, self.scale_ = np.zeros(len(read)), np.ones(len(read))
        self.mean_, self.scale_ = self._sizes(X)
        Z = self._encoded(X)
        rows, labels = self.filled(Z, y)
        solver = linear_model.LogisticRegression(C=self.C, max_iter=1000).fit(self._wide(rows), labels)
        self.classes_ = solver.classes_
        self.coef_, self.intercept_ = of_each_class(solver)
        return self

    def _sizes(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale of each column of numbers, 0 and 1 of categories."""
        mean, scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
        for column in np.flatnonzero(~self.is_category_):
            numbers = column_of(X, int(column))[0]
            numbers = numbers[~np.isnan(numbers)]
            if len(numbers):
                (mean[column],), (scale[column],) = mean_and_scale(numbers[:, None])
        return mean, scale

    def _encoded(self, X: np.ndarray) -> np.ndarray:
        """Standard numbers and codes of categories, -1 of unknown ones: [n, d] -> [n, d] float64."""
        found = np.zeros(X.shape)
        for column, is_category in enumerate(self.is_category_):
            numbers, texts = column_of(X, column)
            if is_category:
                known, cells = self.categories_[column], _texts(numbers, texts)
                at = np.minimum(np.searchsorted(known, cells), len(known) - 1)
                found[:, column] = np.where(known[at] == cells, at, -1)
            else:
                found[:, column] = np.nan_to_num((numbers - self.mean_[column]) / self.scale_[column], nan=0.0)
        return found

    def filled(self, Z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Encoded rows [n, d] and classes [n], with new ones until all classes are as large; one row stays alone."""
        names, counts = np.unique(y, return_counts=True)
        rows, labels, rng = [Z], [y], check_random_state(self.random_state)
        nominal = np.flatnonzero(self.is_category_).tolist()
        for name, m in zip(names, counts.tolist(), strict=True):
            n_new, seed = int(counts.max()) - m, int(rng.randint(2**31 - 1))
            if n_new == 0 or m < 2:
                continue
            if self.is_category_.all():
                rows.append(smote_n(Z, y, name, n_new, k=self.k, random_state=seed))
            else:
                rows.append(smote_nc(Z[y == name], n_new, nominal=nominal, k=self.k, random_state=seed))
            labels.append(np.repeat(name, n_new))
        return np.concatenate(rows), np.concatenate(labels)

    def _wide(self, Z: np.ndarray) -> np.ndarray:
        """Numbers as they are, each known category a column of 0 and 1; of an unknown one all are 0."""
        parts = [
            Z[:, [column]] if not is_category else (Z[:, [column]] == np.arange(len(self.categories_[column]))) * 1.0
            for column, is_category in enumerate(self.is_category_)
        ]
        return np.concatenate(parts, axis=1)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [n, d] -> [n, k], of classes that are equally frequent."""
        check_is_fitted(self)
        X = validate_data(self, as_cells(X), dtype=None, ensure_all_finite="allow-nan", reset=False)
        found: np.ndarray = softmax(self._wide(self._encoded(X)) @ self.coef_.T + self.intercept_, axis=1)
        return found

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likeliest class of each row: [n, d] -> [n]; of equally likely ones the first."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        found: np.ndarray = self.classes_[likeliest]
        return found

    def state(self) -> State:
        """What was learned: names of the classes and categories, scaling, weights."""
        check_is_fitted(self)
        found = classes_state(self.classes_) | {name: getattr(self, f"{name}_") for name in _ARRAYS}
        for column in np.flatnonzero(self.is_category_):
            found |= {f"{column}.{key}": of for key, of in classes_state(self.categories_[column]).items()}
        return found

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        made = type(self)(**self.get_params())
        made.classes_ = classes_of({key: of for key, of in state.items() if key.startswith("classes")})
        for name in _ARRAYS:
            setattr(made, f"{name}_", state[name])
        made.n_features_in_ = len(made.mean_)
        made.categories_ = [np.empty(0, str)] * len(made.mean_)
        for key, of in state.items():
            at, is_category, name = key.partition(".")
            if is_category:
                made.categories_[int(at)] = classes_of({name: of})
        return made


_ARRAYS = ("is_category", "mean", "scale", "coef", "intercept")


def _texts(numbers: np.ndarray, texts: np.ndarray | None) -> np.ndarray:
    """Cells of a column of categories [n] as texts; a number among them as its digits."""
    if texts is None:
        return np.array(["" if np.isnan(one) else f"{one:g}" for one in numbers], str)
    return np.array(
        [str(text) or ("" if np.isnan(one) else f"{one:g}") for one, text in zip(numbers, texts, strict=True)]
    )
