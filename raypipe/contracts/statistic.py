"""What a scorer is: a statistic of a document's quantities, so that all scorers share one forward pass."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import pyarrow as pa

from raypipe.contracts.score import Score

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Quantity = Literal["nll", "nll_masked", "log_prob_mean", "log_prob_std", "zlib_bytes", "loss_lower"]
"""What a statistic may need, of documents one after the other with p predicted tokens in all:

nll            [p] -log p(token) of the intact model, nats, float32
nll_masked     [p] the same with the heads neutralised
log_prob_mean  [p] mean of log p(v) over the vocabulary, under the model's own p; what -nll is expected to be
log_prob_std   [p] its standard deviation
zlib_bytes     [n] compressed size of a document's scored text
loss_lower     [n] mean of -log p(token) over that text in lower case, tokenised anew; NaN where it has one token
"""

PerToken = Mapping[str, np.ndarray]
"""Quantity -> numbers."""


class Statistic(Protocol):
    """Quantities of a batch of documents -> one row of columns for each document. Its fields are its settings."""

    needs: ClassVar[tuple[Quantity, ...]]
    adds: ClassVar[pa.Schema]
    score: ClassVar[Score]
    """The column that documents are ordered by, and what it says."""

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Quantities of documents with `lengths` [n] >= 1 predicted tokens each -> columns [n]; NaN becomes null."""
        ...


def name_of(statistic: type) -> str:
    """What a scorer is called on the command line and in cards: `min-k` for MinK."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", statistic.__name__).lower()


def described(statistic: Any) -> str:
    """A scorer by name and settings, as cards have it: `min-k fraction=0.2`."""
    part: DataclassInstance = statistic
    settings = (f"{field.name}={getattr(part, field.name)}" for field in fields(part))
    return " ".join([name_of(type(statistic)), *settings])


def mean_by_document(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Mean of each document's values, added up in float64: [p], [n] lengths >= 1 -> [n]."""
    starts = np.cumsum(lengths) - lengths
    means: np.ndarray = np.add.reduceat(values.astype(np.float64), starts) / lengths
    return means


def lowest_mean_by_document(values: np.ndarray, lengths: np.ndarray, *, fraction: float) -> np.ndarray:
    """Mean of the lowest `fraction` of each document's values, at least one of them: [p], [n] lengths >= 1 -> [n].

    NaN for a document with a NaN.
    """
    owners = np.repeat(np.arange(len(lengths)), lengths)
    ascending = values.astype(np.float64)[np.lexsort((values, owners))]  # inside each document
    starts = np.cumsum(lengths) - lengths
    counts = np.maximum(1, np.floor(fraction * lengths + 1e-9).astype(np.int64))
    is_low = np.arange(len(values)) - np.repeat(starts, lengths) < np.repeat(counts, lengths)
    means: np.ndarray = np.add.reduceat(np.where(is_low, ascending, 0.0), starts) / counts
    means[owners[np.isnan(values)]] = np.nan  # sorted as the highest, a NaN would be no one's
    return means
