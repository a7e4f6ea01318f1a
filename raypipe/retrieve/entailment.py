"""Zero-shot classes by entailment: how surely an NLI model says that a text entails a sentence about each class.

Source: W. Yin, J. Hay and D. Roth, Benchmarking Zero-shot Text Classification, EMNLP 2019, section 5: the text is the
premise, "This text is about CLASS." the hypothesis. The folder is that of any transformers sequence classifier one of
whose labels is called entailment.
Departures: none known; the probability is over all of the model's labels.
Cost: a pass over text and sentence for each class of each text.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from raypipe.retrieve.cross_encoder import PairModel

HYPOTHESIS = "This text is about {name}."
ENTAILMENT = "entail"


class Entailment(PairModel):
    """How surely texts are of classes, by their names."""

    def check_outputs(self, config: Any) -> None:
        """Refuse a model without a label of entailment, or with several."""
        names = {int(number): str(name) for number, name in config.id2label.items()}
        found = [number for number, name in names.items() if name.lower().startswith(ENTAILMENT)]
        if len(found) != 1 or len(names) < 2:
            raise ValueError(
                f"an NLI model must have one label that begins with {ENTAILMENT!r} and another, {self.ref!r} has "
                f"{', '.join(names.values())}; id2label of its config.json names them."
            )
        self.label = found[0]

    def probabilities(self, texts: Sequence[str], names: Sequence[str], *, hypothesis: str = HYPOTHESIS) -> np.ndarray:
        """The probability [n, k] that each text entails the sentence of each class.

        Raises
        ------
        ValueError
            If the hypothesis has no place for the name.
        """
        if hypothesis.count("{name}") != 1:
            raise ValueError(f"hypothesis must hold {{name}} once, got {hypothesis!r}.")
        sentences = [hypothesis.replace("{name}", name) for name in names]
        logits = self.outputs([(text, sentence) for text in texts for sentence in sentences])
        found: np.ndarray = softmax(logits.astype(np.float64), axis=1)[:, self.label]
        return found.reshape(len(texts), len(names))
