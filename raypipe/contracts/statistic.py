"""What a scorer is: a statistic of per-token quantities, so that all scorers share one forward pass."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np
import pyarrow as pa

PerToken = Mapping[str, np.ndarray]
"""nll: -log p(token), nats, of the intact model, float32 [p]; nll_masked: the same with the heads neutralised."""


class Statistic(Protocol):
    """Per-token quantities of a batch of documents -> one row of columns for each document."""

    needs: ClassVar[tuple[str, ...]]
    adds: ClassVar[pa.Schema]
    score: ClassVar[str]
    """The column that documents are ordered by."""

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Quantities [p], documents one after the other with `lengths` [n] >= 1 predicted tokens -> columns [n]."""
        ...


def mean_by_document(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean of each document's values, added up in float64: [p], [n] lengths >= 1 -> [n]."""
    starts = np.cumsum(lengths) - lengths
    means: np.ndarray = np.add.reduceat(values.astype(np.float64), starts) / lengths
    return means
