"""Min-K% Prob: mean log-probability of a document's least likely tokens; high for text that the model was trained on.

Source: Shi et al., Detecting Pretraining Data from Large Language Models, arXiv 2310.16789 v3, section 4.
Departures: none; of a document of few tokens at least one counts.
Cost: none beside the loss.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.score import Score
from raypipe.contracts.statistic import PerToken, Quantity, lowest_mean_by_document, mean_by_document


def check_fraction(fraction: float) -> None:
    """Refuse a share of tokens that is none.

    Raises
    ------
    ValueError
        If it isn't above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction of min-k must be above 0 and at most 1, got {fraction}.")


@dataclass(frozen=True)
class MinK:
    """Mean log-probability of the least likely tokens.

    >>> import numpy as np
    >>> per_token = {"nll": np.array([0.1, 0.2, 5.0, 0.3, 3.0])}  # one document of five tokens
    >>> MinK(fraction=0.4)(per_token, np.array([5]))["min_k"].tolist()
    [-4.0]
    """

    fraction: float = 0.2
    """Share of a document's tokens that counts."""

    needs: ClassVar[tuple[Quantity, ...]] = ("nll",)
    score: ClassVar[Score] = Score(
        "min_k", "log-probability of the least likely tokens", "nats a token", higher_is_better=True
    )
    adds: ClassVar[pa.Schema] = pa.schema([("loss", pa.float32()), ("min_k", pa.float32())])

    def __post_init__(self) -> None:
        """Check the fraction."""
        check_fraction(self.fraction)

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Losses [p] of documents with `lengths` [n] predicted tokens each -> columns [n]."""
        lowest = lowest_mean_by_document(-per_token["nll"], lengths, fraction=self.fraction)
        return {"loss": mean_by_document(per_token["nll"], lengths), "min_k": lowest}
