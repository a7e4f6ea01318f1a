"""What is fitted on a matrix in memory: scikit-learn's contract to the letter, and a state that is stored safely."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np

State = dict[str, np.ndarray]
"""What was learned, as arrays of numbers or booleans; names of classes as UTF-8 bytes."""


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
