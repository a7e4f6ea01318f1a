"""Log-probability over compressed size: what a model knows of a text beyond what any compressor does.

Source: Carlini et al., Extracting Training Data from Large Language Models, USENIX Security 2021, section 5.2; the
baseline `Zlib` of Shi et al., arXiv 2310.16789.
Departures: none: the mean log-probability over the bytes that zlib takes at its default level.
Cost: none beside the loss.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.score import Score
from raypipe.contracts.statistic import PerToken, Quantity, mean_by_document


@dataclass(frozen=True)
class ZlibLoss:
    """Mean log-probability over the compressed size of the text.

    >>> import numpy as np
    >>> per_token = {"nll": np.array([1.0, 3.0]), "zlib_bytes": np.array([20])}
    >>> ZlibLoss()(per_token, np.array([2]))["zlib_loss"].round(3).tolist()
    [-0.1]
    """

    needs: ClassVar[tuple[Quantity, ...]] = ("nll", "zlib_bytes")
    score: ClassVar[Score] = Score(
        "zlib_loss", "log-probability over compressed size", "nats a token and byte", higher_is_better=True
    )
    adds: ClassVar[pa.Schema] = pa.schema([("loss", pa.float32()), ("zlib_loss", pa.float32())])

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Losses [p] and compressed sizes [n] of documents with `lengths` [n] predicted tokens each -> columns [n]."""
        loss = mean_by_document(per_token["nll"], lengths)
        return {"loss": loss, "zlib_loss": -loss / per_token["zlib_bytes"]}
