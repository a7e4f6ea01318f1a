"""Loss of a text in lower case over its own: high where a model knows a text as it is written.

Source: Carlini et al., Extracting Training Data from Large Language Models, USENIX Security 2021, section 5.2; the
baseline `Lowercase` of Shi et al., arXiv 2310.16789, in the form and with the sign of the code of Min-K%++ (arXiv
2404.02936): log-likelihood of the lower-cased text over that of the text, so that higher means a member.
Departures: none; both are means over tokens, of which lower case may have more.
Cost: a second forward pass, over the lower-cased text.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.score import Score
from raypipe.contracts.statistic import PerToken, Quantity, mean_by_document


@dataclass(frozen=True)
class Lowercase:
    """Mean loss in lower case over the mean loss.

    >>> import numpy as np
    >>> per_token = {"nll": np.array([1.0, 3.0]), "loss_lower": np.array([3.0])}
    >>> Lowercase()(per_token, np.array([2]))["lowercase"].tolist()
    [1.5]
    """

    needs: ClassVar[tuple[Quantity, ...]] = ("nll", "loss_lower")
    score: ClassVar[Score] = Score("lowercase", "loss in lower case over the loss", "", higher_is_better=True)
    adds: ClassVar[pa.Schema] = pa.schema([("loss", pa.float32()), ("lowercase", pa.float32())])

    def __call__(self, per_token: PerToken, lengths: np.ndarray) -> dict[str, np.ndarray]:
        """Losses [p] and losses in lower case [n] of documents with `lengths` [n] predicted tokens each -> columns [n].

        NaN, which becomes null, where the loss is 0.
        """
        loss = mean_by_document(per_token["nll"], lengths)
        ratio = np.full(len(lengths), np.nan)
        np.divide(per_token["loss_lower"], loss, out=ratio, where=loss > 0)
        return {"loss": loss, "lowercase": ratio}
