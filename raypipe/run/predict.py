"""A fitted estimator over the rows of a stage: label, probability and, where it knows it, how familiar a row is."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON
from raypipe.contracts.estimator import Estimator
from raypipe.contracts.row_op import RowOp
from raypipe.fitting.vectors import matrix
from raypipe.models.fitted import fitted_identity, open_fitted
from raypipe.runs.card import Json
from raypipe.storage.folder import Folder

BATCH_ROWS = 8192


@dataclass
class Predict(RowOp):
    """Takes columns of stages through a fitted estimator: columns of numbers, or one of vectors, in the order named."""

    estimator: type[Estimator]
    """The class that the folder must hold."""
    fitted: Folder
    columns: tuple[str, ...]
    """`stage.column` each."""

    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = BATCH_ROWS
    _model: Estimator | None = field(default=None, init=False, repr=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    @property
    def adds(self) -> pa.Schema:
        """Label, as a string; its probability; familiarity, where the estimator has `score_samples`."""
        names = [("label", pa.string()), ("probability", pa.float32())]
        return pa.schema([*names, *([("familiarity", pa.float32())] if self._is_familiar else [])])

    @property
    def _is_familiar(self) -> bool:
        return hasattr(self.estimator, "score_samples")

    def identity(self) -> Json:
        """What the results follow from beside the columns: settings and content of the fitted folder.

        Raises
        ------
        FileNotFoundError, ValueError
            If the folder holds no estimator of this class.
        """
        open_fitted(self.estimator, self.fitted)
        own = {"op": "predict", "version": self.version, "columns": list(self.columns)}
        return own | fitted_identity(self.fitted)

    def prepare(self, table: pa.Table) -> pa.Table:
        """One matrix, as a list of numbers for each row; a row without all of them gets a reason."""
        X, missing = matrix([table[name] for name in self.columns])
        offsets = pa.array(np.arange(len(X) + 1) * X.shape[1], pa.int64())
        vectors = pa.LargeListArray.from_arrays(offsets, pa.array(X.ravel()))
        reasons = pc.coalesce(table[REASON], pa.array(missing, pa.string()))
        return pa.table({"vector": vectors, REASON: reasons})

    def setup(self, *, n_threads: int) -> None:
        """Open the estimator."""
        self._model = open_fitted(self.estimator, self.fitted)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The classes of a batch."""
        assert self._model is not None
        vectors = batch["vector"].combine_chunks()
        X = vectors.flatten().to_numpy().reshape(len(batch), -1)
        probability = self._model.predict_proba(X)
        labels = [str(label) for label in self._model.predict(X)]
        columns = [pa.array(labels, pa.string()), pa.array(probability.max(axis=1), pa.float32())]
        if self._is_familiar:
            columns.append(pa.array(self._model.score_samples(X), pa.float32()))  # type: ignore[attr-defined]
        return pa.table(columns, schema=self.adds)
