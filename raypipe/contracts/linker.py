"""What looks for rows of a whole run that belong together, one group of keys at a time, so that memory is bounded."""

from typing import ClassVar, Protocol

import pyarrow as pa


class Linker(Protocol):
    """All rows of a run pass by in corpus order, once for each group; what is kept of a group fits into memory.

    Its fields are its settings. An instance is of one group, and begins empty.
    """

    version: ClassVar[int]
    group: int
    """Which of the groups this one is of."""
    n_groups: int
    """Into how many the keys are split; what is found doesn't depend on it."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that `update` gets beside id, text_hash and reason: of columns.SOURCE, or `stage.column`."""
        ...

    def update(self, table: pa.Table, first_row: int) -> None:
        """Take in rows, the first of which is the run's `first_row`-th; those with a reason are left out."""
        ...

    def result(self) -> pa.Table:
        """What was found in this group."""
        ...
