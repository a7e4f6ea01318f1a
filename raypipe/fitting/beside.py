"""What some methods learn from beside rows and their labels: rows without a label, and the environment of each row.

A class says by `takes_unlabelled = True` that its `fit` takes `X_unlabelled` [m, d], and by `takes_environments = True`
that it takes `environments` [n].
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.utils.validation import check_array

from raypipe.contracts.estimator import Estimator
from raypipe.fitting.inputs import Input
from raypipe.fitting.names import fit_with_names


@dataclass(frozen=True, eq=False)
class LearnsBeside:
    """Of labelled rows; nothing by default."""

    unlabelled: pa.Table | None = None
    """Rows of the same columns."""
    environments: np.ndarray | None = None
    """[n] str, of the labelled rows."""

    def take(self, rows: np.ndarray) -> "LearnsBeside":
        """LearnsBeside some of the labelled rows: all that is unlabelled, their own environments."""
        return LearnsBeside(self.unlabelled, None if self.environments is None else self.environments[rows])

    def feeding(self, feed: Input, labelled: pa.Table) -> Input:
        """What makes X of columns, fitted on labelled and unlabelled rows: no label is needed to know the words."""
        both = labelled if self.unlabelled is None else pa.concat_tables([labelled, self.unlabelled])
        return feed.fit(both)


def takes_unlabelled(kind: type[Estimator]) -> bool:
    """Whether a classifier learns from rows without a label too."""
    return bool(getattr(kind, "takes_unlabelled", False))


def takes_environments(kind: type[Estimator]) -> bool:
    """Whether a classifier wants to know where each labelled row is from."""
    return bool(getattr(kind, "takes_environments", False))


def fit_beside(estimator: Estimator, feed: Input, X: np.ndarray, y: np.ndarray, beside: LearnsBeside) -> Estimator:
    """The estimator, fitted on rows [n, d] and labels [n] and on whatever else it takes of what there is."""
    more: dict[str, Any] = {}
    if takes_unlabelled(type(estimator)) and beside.unlabelled is not None:
        more["X_unlabelled"] = feed.encode(beside.unlabelled)[0]
    if takes_environments(type(estimator)) and beside.environments is not None:
        more["environments"] = beside.environments
    if not more:
        return fit_with_names(estimator, feed, X, y)
    fit: Callable[..., Estimator] = estimator.fit
    return fit(X, y, **more)


def unlabelled_rows(X_unlabelled: np.ndarray | None, X: np.ndarray) -> np.ndarray:
    """Rows without a label [m, d] float64, checked before any training; None: the labelled rows [n, d] themselves.

    Raises
    ------
    ValueError
        If there is none, a number isn't finite, or they are longer or shorter than the labelled ones.
    """
    if X_unlabelled is None:
        return X
    found: np.ndarray = check_array(X_unlabelled, dtype=np.float64, input_name="X_unlabelled")
    if found.shape[1] != X.shape[1]:
        raise ValueError(
            f"X_unlabelled must have {X.shape[1]} numbers a row, as the labelled rows have, got {found.shape[1]}."
        )
    return found
