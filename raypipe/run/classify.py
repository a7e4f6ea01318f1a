"""A fitted classifier over the rows of a corpus: label, probability, and what else the estimator can say."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from raypipe.arrays.row_batches import row_batches
from raypipe.columns import REASON
from raypipe.contracts.estimator import Estimator, Explains, Familiar
from raypipe.contracts.op import ROWS
from raypipe.fitting.inputs import Input, open_input
from raypipe.models.fitted import open_fitted, read_input, read_settings
from raypipe.runs.card import Json
from raypipe.storage.folder import Folder

BATCH_ROWS = 1024
CLASSIFIED, UNFAMILIAR = "classified as ", "unfamiliar"
"""Reasons of rows that aren't to come through; the first is followed by the label."""


@dataclass
class Classify:
    """Takes columns of the corpus or of stages through an estimator and the input that was stored with it."""

    estimator: type[Estimator]
    """The class that the folder must hold."""
    fitted: Folder
    columns: tuple[str, ...]
    """What stands for the columns that it was fitted on, in their order: `text`, or `stage.column` each."""

    keep: tuple[str, ...] = ()
    """Labels whose rows come through; the others are skipped rows. (): all."""
    min_familiarity: float | None = None
    """Less familiar rows are skipped rows too."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ROWS
    padding: int = field(default=0, init=False, repr=False)
    _model: Estimator | None = field(default=None, init=False, repr=False, compare=False)
    _feed: Input | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    @property
    def adds(self) -> pa.Schema:
        """Label, as a string; its probability; familiarity and explanation where the estimator has them."""
        more = [("score_samples", "familiarity", pa.float32()), ("explain", "explanation", pa.string())]
        found = [(name, kind) for method, name, kind in more if hasattr(self.estimator, method)]
        return pa.schema([("label", pa.string()), ("probability", pa.float32()), *found])

    def identity(self) -> Json:
        """What the results follow from beside the columns: settings and content of the fitted folder.

        Raises
        ------
        FileNotFoundError, ValueError
            If the folder holds no estimator of this class with an input of as many columns, or one that doesn't know
            the labels to keep or has no familiarity to be above.
        """
        labels = [str(label) for label in open_fitted(self.estimator, self.fitted).classes_]  # type: ignore[attr-defined]
        if unknown := [label for label in self.keep if label not in labels]:
            raise ValueError(f"keep must be labels of the classifier, got {unknown[0]!r}; it has {', '.join(labels)}.")
        if self.min_familiarity is not None and "familiarity" not in self.adds.names:
            raise ValueError(f"min_familiarity needs a classifier that knows it, got a {self.estimator.__name__}.")
        feed = self._open_input()
        if len(feed.columns) != len(self.columns):
            raise ValueError(
                f"columns must stand for the {len(feed.columns)} that the classifier was fitted on "
                f"({', '.join(feed.columns)}), got {', '.join(self.columns)}."
            )
        state = sha256(self.fitted.read("state.safetensors")).hexdigest()
        about = read_settings(self.fitted)
        return {
            "op": "classify",
            "version": self.version,
            "columns": list(self.columns),
            **about,
            "state_sha256": state,
        }

    def _open_input(self) -> Input:
        stored = read_input(self.fitted)
        if stored is None:
            raise ValueError(
                f"{self.fitted.uri} doesn't say how columns become its input; fit it by fit_classifier, or use predict."
            )
        return open_input(*stored)

    def prepare(self, table: pa.Table) -> pa.Table:
        """The columns as they are."""
        return table.select([*self.columns, REASON])

    def setup(self, *, n_threads: int) -> None:
        """Open the estimator and its input."""
        self._model, self._feed = open_fitted(self.estimator, self.fitted), self._open_input()

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """Rows in order, so many at a time."""
        return row_batches(prepared, BATCH_ROWS)

    def cost(self, prepared: pa.Table) -> int:
        """Rows."""
        return len(prepared)

    def limits(self) -> dict[str, int]:
        """None: batches are of so many rows, whatever the settings."""
        return {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The classes of a batch; rows that the input can't use have its reason."""
        assert self._model is not None
        assert self._feed is not None
        X, reasons = self._feed.encode(batch.select(list(self.columns)).rename_columns(list(self._feed.columns)))
        found: dict[str, Any] = {
            "label": [str(label) for label in self._model.predict(X)],
            "probability": self._model.predict_proba(X).max(axis=1),
        }
        if isinstance(self._model, Familiar):
            found["familiarity"] = self._model.score_samples(X)
        if isinstance(self._model, Explains):
            found["explanation"] = self._model.explain(X, self._feed.feature_names)
        reasons = [reason or self._why_not(found, at) for at, reason in enumerate(reasons)]
        columns = [pa.array(found[one.name]).cast(one.type) for one in self.adds]
        return pa.table([*columns, pa.array(reasons, pa.string())], names=[*self.adds.names, REASON])

    def _why_not(self, found: dict[str, Any], at: int) -> str | None:
        """Why a row isn't to come through; None if it is."""
        if self.keep and found["label"][at] not in self.keep:
            return f"{CLASSIFIED}{found['label'][at]}"
        if self.min_familiarity is not None and found["familiarity"][at] < self.min_familiarity:
            return UNFAMILIAR
        return None
