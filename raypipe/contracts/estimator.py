"""What is fitted on a matrix in memory: scikit-learn's contract to the letter, and a state that is stored safely."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np

State = dict[str, np.ndarray]
"""What was learned, as arrays of numbers or booleans; names of classes as UTF-8 bytes."""

Taken = Literal["vectors", "counts", "ngrams", "words or vectors", "table", "sets"]
"""What X is, as a class says by `takes`; without it, vectors.

vectors: float64 [n, d], dense. counts: how often each of d words stands in a text, float64 [n, d], dense or scipy's
CSR. ngrams: hashed n-grams of a text, the same, rows of length 1. words or vectors: counts where the column is of
texts, else vectors. table: object [n, d], numbers as floats, categories as texts, None where a cell is empty. sets:
object [n], each a VectorSet, such as a text of sentences.
"""


@dataclass(frozen=True, eq=False)
class VectorSet:
    """A row that is a set of vectors, at least one."""

    vectors: np.ndarray
    """[l, d]"""
    names: tuple[str, ...] = ()
    """What each stands for, to be shown to a reader [l]; (): nothing."""


def taken_by(kind: "type[Estimator]") -> Taken:
    """What an estimator's X is."""
    found: Taken = getattr(kind, "takes", "vectors")
    return found


class Estimator(Protocol):
    """`__init__` stores its settings, keyword-only; `fit` learns and returns self; what it has learned ends in `_`."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Learn from rows [n, d] and targets [n]."""
        ...

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of each row: [n, d] -> [n]."""
        ...

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """The probability of each class: [n, d] -> [n, k], rows adding up to 1."""
        ...

    def get_params(self, deep: bool = True) -> Mapping[str, Any]:
        """Its settings."""
        ...

    def state(self) -> State:
        """What `fit` has learned: a fitted folder is estimator.json (settings) and state.safetensors, never a pickle.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        """
        ...

    def from_state(self, state: State) -> Self:
        """One of the same settings that has learned this."""
        ...


@runtime_checkable
class Familiar(Protocol):
    """Tells rows that are like those it has learned from others."""

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        """How familiar each row is: [n, d] -> [n]; higher is more."""
        ...


@runtime_checkable
class Explains(Protocol):
    """Says why a row has its class."""

    def explain(self, X: np.ndarray, names: Sequence[str]) -> list[str]:
        """A short text for each row [n, d], in terms of the names of its columns [d]."""
        ...


@runtime_checkable
class Certified(Protocol):
    """Says how far a row may move before its class can change."""

    def radius(self, X: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        """Euclidean distance within which each row keeps class y (None: the predicted): [n, d] -> [n].

        Below 0 the row isn't of that class.
        """
        ...
