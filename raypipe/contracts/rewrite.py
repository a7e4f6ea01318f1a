"""What makes any number of rows of each row: chunks, augmented texts, token sequences."""

from typing import ClassVar, Protocol

import pyarrow as pa

ROW = "row"
"""In what a Rewrite gives: the row of its batch that each of its rows comes from."""


class Rewrite(Protocol):
    """Rows to more, fewer or other rows. Its fields are its settings; it is sent to workers before `setup`."""

    version: ClassVar[int]

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that it gets beside id, text_hash and reason: of columns.SOURCE, or `stage.column`."""
        ...

    @property
    def adds(self) -> pa.Schema:
        """The columns of its rows."""
        ...

    def setup(self, *, n_threads: int) -> None:
        """Load what is heavy, once, on the worker."""
        ...

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows, none of which has a reason -> its rows: `adds`, and ROW (int64), which never falls."""
        ...
