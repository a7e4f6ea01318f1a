"""Perplexity: exp of the mean token loss, the plainest score of all and the baseline to beat.

Source: F. Jelinek et al., Perplexity, a measure of the difficulty of speech recognition tasks, JASA 62 (S1), 1977.
Departures: none; a token is a token of the model, so only documents of one model compare.
Cost: none beside the loss.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.score import Score
from raypipe.contracts.statistic import PerToken, Quantity, mean_by_document


@dataclass(frozen=True)
class Perplexity:
    """Exponential of a document's mean loss.

    >>> import numpy as np
    >>> lengths = np.array([2, 1])  # a document of two tokens and one of one
    >>> per_token = {"nll": np.array([1.0, 3.0, 2.0])}
    >>> Perplexity()(per_token, lengths)["perplexity"].round(3).tolist()
    [7.389, 7.389]
    """

    needs: ClassVar[tuple[Quantity, ...]] = ("nll",)
    score: ClassVar[Score] = Score("perplexity", "perplexity", "", higher_is_better=False)
    adds: ClassVar[pa.Schema] = pa.schema([("loss", pa.float32()), ("perplexity", pa.float32())])

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Losses [p] of documents with `lengths` [n] predicted tokens each -> columns [n]."""
        loss = mean_by_document(per_token["nll"], lengths)
        return {"loss": loss, "perplexity": np.exp(loss)}
