"""Methods whose process is killed in the middle of their work, once."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raypipe.label.functions.cast_votes import CastVotes
from raypipe.run.predict import Predict
from raypipe.select.quantiles import ColumnQuantiles

from .fake_op import commit_fault


@dataclass
class DeadlyQuantiles(ColumnQuantiles):
    """Killed in the middle of a block, and of a merge."""

    once: str = ""

    def update(self, table: pa.Table) -> None:
        commit_fault(self.once, "kill-forward")
        super().update(table)

    def merge(self, other: "DeadlyQuantiles") -> None:
        commit_fault(self.once, "kill-setup")
        super().merge(other)

    def from_state(self, state: dict[str, np.ndarray]) -> "DeadlyQuantiles":
        made = super().from_state(state)
        made.once = self.once
        return made


@dataclass
class DeadlyPredict(Predict):
    """Killed in the middle of a shard."""

    once: str = ""

    def __call__(self, batch: pa.Table) -> pa.Table:
        commit_fault(self.once, "kill-forward")
        return super().__call__(batch)


@dataclass
class DeadlyVotes(CastVotes):
    """Killed in the middle of a shard."""

    once: str = ""

    def __call__(self, batch: pa.Table) -> pa.Table:
        commit_fault(self.once, "kill-forward")
        return super().__call__(batch)
