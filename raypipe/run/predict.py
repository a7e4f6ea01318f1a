"""A fitted estimator over the rows of a stage: label, probability and, where it knows it, how familiar a row is."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON
from raypipe.contracts.estimator import Estimator
from raypipe.contracts.op import ROWS
from raypipe.models.fitted import open_fitted, read_settings
from raypipe.runs.card import Json
from raypipe.storage.folder import Folder

BATCH_ROWS = 8192
NO_VECTOR, NOT_FINITE = "no vector", "a vector with numbers that aren't finite"


@dataclass
class Predict:
    """Takes columns of stages through a fitted estimator: columns of numbers, or one of vectors, in the order named."""

    estimator: type[Estimator]
    """The class that the folder must hold."""
    fitted: Folder
    columns: tuple[str, ...]
    """`stage.column` each."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ROWS
    padding: int = field(default=0, init=False, repr=False)
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
        from hashlib import sha256

        open_fitted(self.estimator, self.fitted)
        state = sha256(self.fitted.read("state.safetensors")).hexdigest()
        about = read_settings(self.fitted)
        return {"op": "predict", "version": self.version, "columns": list(self.columns), **about, "state_sha256": state}

    def prepare(self, table: pa.Table) -> pa.Table:
        """One matrix, as a list of numbers for each row; a row without all of them gets a reason."""
        vectors, missing = _vectors([table[name] for name in self.columns])
        reasons = pc.coalesce(table[REASON], pa.array(missing, pa.string()))
        return pa.table({"vector": vectors, REASON: reasons})

    def setup(self, *, n_threads: int) -> None:
        """Open the estimator."""
        self._model = open_fitted(self.estimator, self.fitted)

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """Rows in order, so many at a time."""
        rows = np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy())
        return [rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS)]

    def cost(self, prepared: pa.Table) -> int:
        """Rows."""
        return len(prepared)

    def limits(self) -> dict[str, int]:
        """None: batches are of so many rows, whatever the settings."""
        return {}

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


def _vectors(columns: list[pa.ChunkedArray]) -> tuple[pa.Array, list[str | None]]:
    """Rows of numbers, side by side, and for each row the reason why there is none."""
    parts = [_matrix(column.combine_chunks()) for column in columns]
    X = np.concatenate([part for part, _ in parts], axis=1)
    is_there = np.logical_and.reduce([there for _, there in parts])
    is_finite = np.isfinite(X).all(axis=1)
    reasons = [
        None if there and finite else NOT_FINITE if there else NO_VECTOR
        for there, finite in zip(is_there, is_finite, strict=True)
    ]
    offsets = pa.array(np.arange(len(X) + 1) * X.shape[1], pa.int64())
    return pa.LargeListArray.from_arrays(offsets, pa.array(X.ravel())), [reason or None for reason in reasons]


def _matrix(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """A column of numbers or of lists of as many as [n, d], zeros where a row has none, and which have: [n]."""
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if not pa.types.is_nested(column.type):
        return pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy()[:, None], valid
    lengths = set(pc.list_value_length(column).drop_null().to_pylist())
    if len(lengths) > 1:
        raise ValueError(f"vectors of a column must be of one length, got {sorted(lengths)}.")
    X = np.zeros((len(column), lengths.pop() if lengths else 0))
    numbers = pc.fill_null(column.drop_null().flatten().cast(pa.float64()), np.nan).to_numpy()
    X[valid] = numbers.reshape(int(valid.sum()), X.shape[1])
    return X, valid
