"""A fitted classifier over the rows of a corpus: label, probability, and what else the estimator can say."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.arrays.row_batches import row_batches
from raypipe.columns import REASON
from raypipe.contracts.estimator import Estimator
from raypipe.contracts.op import ROWS
from raypipe.fitting.inputs import Input, open_input
from raypipe.models.fitted import open_fitted, read_input, read_settings
from raypipe.runs.card import Json
from raypipe.storage.folder import Folder

BATCH_ROWS = 1024


@dataclass
class Classify:
    """Takes columns of the corpus or of stages through an estimator and the input that was stored with it."""

    estimator: type[Estimator]
    """The class that the folder must hold."""
    fitted: Folder
    columns: tuple[str, ...]
    """What stands for the columns that it was fitted on, in their order: `text`, or `stage.column` each."""

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
            If the folder holds no estimator of this class with an input of as many columns.
        """
        open_fitted(self.estimator, self.fitted)
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
        found = {
            "label": [str(label) for label in self._model.predict(X)],
            "probability": self._model.predict_proba(X).max(axis=1),
        }
        if "familiarity" in self.adds.names:
            found["familiarity"] = self._model.score_samples(X)  # type: ignore[attr-defined]
        if "explanation" in self.adds.names:
            found["explanation"] = self._model.explain(X, self._feed.feature_names)  # type: ignore[attr-defined]
        columns = [pa.array(found[one.name]).cast(one.type) for one in self.adds]
        return pa.table([*columns, pa.array(reasons, pa.string())], names=[*self.adds.names, REASON])
