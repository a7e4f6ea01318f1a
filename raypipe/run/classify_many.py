"""A classifier of many labels a row over a corpus: the labels that are likely enough, each with its probability.

Memory is of BATCH_ROWS rows of probabilities of all labels at a time, and of at most MOST labels a row after that.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import Estimator
from raypipe.fitting.many_labels import ranked
from raypipe.run.classify import QUALITY, Classify
from raypipe.runs.card import Json

LABELS, PROBABILITIES = "labels", "probabilities"
NONE_KEPT = "none of its labels is to be kept"
"""Reason of rows that aren't to come through."""


@dataclass
class ClassifyMany(Classify):
    """Takes rows through an estimator of many labels: the likeliest one, and all that reach the threshold."""

    threshold: float = 0.5
    """Probability from which on a label is said."""

    version: ClassVar[int] = 1
    more: ClassVar[tuple[tuple[str, str, pa.DataType], ...]] = (("score_samples", "familiarity", pa.float32()),)
    """An explanation is of one label among others; here each is told for itself, with its probability."""

    @property
    def adds(self) -> pa.Schema:
        """The likeliest label, its probability, the labels in falling order, theirs; familiarity; what is asked."""
        lists = [pa.field(LABELS, pa.list_(pa.string())), pa.field(PROBABILITIES, pa.list_(pa.float32()))]
        of_one = list(super().adds)
        return pa.schema([*of_one[:2], *lists, *of_one[2:]])

    def identity(self) -> Json:
        """As of one label, and the threshold.

        Raises
        ------
        FileNotFoundError, ValueError
            As there; or if the threshold isn't from 0 to 1, or labels beyond the classifier's are asked for.
        """
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"min_probability must be from 0 to 1, got {self.threshold}.")
        if self.reach is not None:
            raise ValueError("edges are for a classifier of one label a row; this one says many labels of each.")
        return super().identity() | {"op": "classify_many", "min_probability": self.threshold}

    def _labels(self, model: Estimator, X: np.ndarray, temperature: float) -> dict[str, Any]:
        """What follows from the probabilities of rows X; `quality` is the likeliest good label's."""
        probability = model.probabilities(X)  # type: ignore[attr-defined]
        labels = np.array([str(label) for label in model.classes_])  # type: ignore[attr-defined]
        likeliest = ranked(probability)
        is_said = (likeliest.probability >= self.threshold) & (likeliest.probability > 0)
        ends = np.concatenate([[0], np.cumsum(is_said.sum(axis=1))])
        said = {
            LABELS: pa.array(labels[likeliest.place[is_said]], pa.string()),
            PROBABILITIES: pa.array(likeliest.probability[is_said], pa.float32()),
        }
        found: dict[str, Any] = {
            "label": labels[likeliest.place[:, 0]].tolist(),
            "probability": likeliest.probability[:, 0],
            **{name: pa.ListArray.from_arrays(pa.array(ends, pa.int32()), of) for name, of in said.items()},
        }
        if self.good:
            found[QUALITY] = probability[:, np.isin(labels, self.good)].max(axis=1)
        return found

    def _why_not(self, found: dict[str, Any], at: int) -> str | None:
        """Why a row isn't to come through; None if it is."""
        if self.keep and not set(self.keep) & set(found[LABELS][at].as_py()):
            return NONE_KEPT
        return self._of_familiarity(found, at)
