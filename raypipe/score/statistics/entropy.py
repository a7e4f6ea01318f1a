"""Entropy of the predictions: how unsure the model is of what comes next, whatever comes; in nats, mean over tokens.

Source: C. Shannon, A Mathematical Theory of Communication, 1948, section 6, of the model's distributions: minus mu of
Min-K%++ (Zhang et al., arXiv 2404.02936, eq. 3). As a measure of data: low entropy is text that the model finds plain.
Cost: three passes over the logits of each chunk instead of one, as Min-K%++ has; they are never all in memory.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.score import Score
from raypipe.contracts.statistic import PerToken, Quantity, mean_by_document


@dataclass(frozen=True)
class Entropy:
    """Mean entropy of what the model predicts at each token of a document.

    >>> import numpy as np
    >>> per_token = {"nll": np.array([1.0, 3.0]), "log_prob_mean": np.array([-2.0, -1.0])}
    >>> Entropy()(per_token, np.array([2]))["entropy"].tolist()
    [1.5]
    """

    needs: ClassVar[tuple[Quantity, ...]] = ("nll", "log_prob_mean")
    score: ClassVar[Score] = Score("entropy", "entropy of the predictions", "nats a token", higher_is_better=False)
    adds: ClassVar[pa.Schema] = pa.schema([("loss", pa.float32()), ("entropy", pa.float32())])

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Quantities [p] of documents with `lengths` [n] predicted tokens each -> columns [n], entropy >= 0."""
        loss, expected = (mean_by_document(per_token[name], lengths) for name in self.needs)
        return {"loss": loss, "entropy": -expected}
