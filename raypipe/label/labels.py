"""Class probabilities of every row from its votes, by a fitted label model: the Op behind labels/.

Source: A. Ratner et al., Snorkel, VLDB 2018, section 2.2: probabilistic labels.
Departures: a row that nobody voted on is there too, with the prior and without a label.
Cost: that of the label model's answers, O(n m k) at most.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON
from raypipe.contracts.row_op import RowOp
from raypipe.fitting.vectors import matrix
from raypipe.label.votes import ABSTAIN
from raypipe.models.fitted import fitted_identity, open_fitted
from raypipe.storage.folder import Folder

if TYPE_CHECKING:
    from raypipe.label.label_model import LabelModel

BATCH_ROWS = 4096
LABELS = pa.schema([
    ("label", pa.string()), ("probability", pa.float32()), ("covered", pa.bool_()),
    ("probabilities", pa.list_(pa.float32())),
])  # fmt: skip
"""`label`: the likeliest class, null where nobody voted; `probabilities`: of each class, the prior where nobody did."""


@dataclass
class LabelRows(RowOp):
    """Opens a label model and answers for every row of votes."""

    model: "type[LabelModel]"
    """The class that the folder must hold."""
    fitted: Folder
    votes: str
    """STAGE.COLUMN of the votes."""
    classes: tuple[str, ...]
    """Their names, in the order of their numbers."""
    kept: tuple[int, ...]
    """The functions that the model was fitted on, of those that voted."""

    adds: ClassVar[pa.Schema] = LABELS
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = BATCH_ROWS
    _model: "LabelModel | None" = field(default=None, init=False, repr=False, compare=False)

    @property
    def reads(self) -> tuple[str, ...]:
        """The votes."""
        return (self.votes,)

    def identity(self) -> dict[str, Any]:
        """What the labels follow from beside the votes: settings and content of the fitted folder, and the classes."""
        own = {"op": "labels", "version": self.version, "classes": list(self.classes), "kept": list(self.kept)}
        return own | fitted_identity(self.fitted)

    def prepare(self, table: pa.Table) -> pa.Table:
        """The votes as they are."""
        return table.select([self.votes, REASON])

    def setup(self, *, n_threads: int) -> None:
        """Open the label model."""
        self._model = open_fitted(self.model, self.fitted)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The labels of a batch."""
        assert self._model is not None
        votes = matrix([batch[self.votes]])[0].astype(np.int8)[:, list(self.kept)]
        probability = self._model.predict_proba(votes).astype(np.float32)
        covered = (votes != ABSTAIN).any(axis=1)
        best = pa.array(self.classes, pa.string()).take(pa.array(probability.argmax(axis=1)))
        offsets = pa.array(np.arange(len(votes) + 1, dtype=np.int32) * probability.shape[1])
        return pa.table(
            [
                pc.if_else(pa.array(covered), best, pa.scalar(None, pa.string())),
                pa.array(probability.max(axis=1)),
                pa.array(covered),
                pa.ListArray.from_arrays(offsets, pa.array(probability.ravel())),
            ],
            schema=LABELS,
        )
