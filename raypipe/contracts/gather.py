"""What folds the columns of a whole run into one artefact, in parts that are merged."""

from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pyarrow as pa


class Gather(Protocol):
    """Tables in, one artefact out; however the rows are cut into parts and the parts merged, the result is the same.

    Its fields are its settings; an instance begins empty. Sums that must not depend on an order are of integers.
    """

    version: ClassVar[int]

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that `update` gets beside id, text_hash and reason: of columns.SOURCE, or `stage.column`."""
        ...

    def update(self, table: pa.Table) -> None:
        """Take in rows; those with a reason were skipped, and are left out."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another of the same settings has."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """What it has taken in, as arrays: what a partial result travels and is stored as."""
        ...

    def from_state(self, state: dict[str, np.ndarray]) -> Self:
        """One of the same settings that has this state."""
        ...

    def result(self) -> dict[str, Any]:
        """What is said of the run, for a card: values that JSON knows."""
        ...
