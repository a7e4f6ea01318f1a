"""AttentionInfluence: how much worse a model predicts a document once its retrieval heads are neutralised.

Source: Hua et al., AttentionInfluence, arXiv 2505.07293 v1, section 3 and eq. 5 (Figure 3 prints the other
denominator; the ranking is the same).
Cost: one intact pass and one that shares the layers below the lowest neutralised head.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.score import Score
from raypipe.contracts.statistic import PerToken, Quantity, mean_by_document

MIN_LOSS = 1e-6
"""Nats a token; below it a relative rise says nothing and influence is null."""


@dataclass(frozen=True)
class Influence:
    """Relative rise of a document's loss when the heads are neutralised.

    >>> import numpy as np
    >>> lengths = np.array([2, 1])  # a document of two tokens and one of one
    >>> per_token = {"nll": np.array([1.0, 3.0, 2.0]), "nll_masked": np.array([2.0, 4.0, 2.0])}
    >>> Influence()(per_token, lengths)["influence"].tolist()
    [0.5, 0.0]
    """

    needs: ClassVar[tuple[Quantity, ...]] = ("nll", "nll_masked")
    score: ClassVar[Score] = Score(
        "influence", "rise of the loss without the heads, as a share of it", "", higher_is_better=True
    )
    adds: ClassVar[pa.Schema] = pa.schema(
        [("loss", pa.float32()), ("loss_masked", pa.float32()), ("influence", pa.float32())]
    )

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Losses [p] of documents with `lengths` [n] predicted tokens each -> columns [n]; NaN becomes null."""
        loss = mean_by_document(per_token["nll"], lengths)
        masked = mean_by_document(per_token["nll_masked"], lengths)
        influence = np.full(len(lengths), np.nan)
        np.divide(masked - loss, loss, out=influence, where=loss >= MIN_LOSS)
        return {"loss": loss, "loss_masked": masked, "influence": influence}
