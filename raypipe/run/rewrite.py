"""A rewrite stage: any number of rows for each row, committed a file a shard, each row naming the one it comes from.

Its files are a corpus of their own: `RUN/STAGE/*.parquet`, with ids of their own. It runs as an Op that gives a list
for each row, so that kills, documents that fail and resuming are as for any other; the lists become rows when a shard's
file is written. A row of which nothing came has no row there, and is counted with its reason.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.rewrite import ROW, Rewrite
from raypipe.contracts.row_op import RowOp
from raypipe.run.pieces import PIECES
from raypipe.run.stage import Annotate

BATCH_ROWS = 256


@dataclass
class RewriteOp(RowOp):
    """A Rewrite as an Op: a list of its rows for each row."""

    rewrite: Rewrite

    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = BATCH_ROWS

    @property
    def reads(self) -> tuple[str, ...]:
        """What the Rewrite reads."""
        return self.rewrite.reads

    @property
    def adds(self) -> pa.Schema:
        """One column, of lists of rows."""
        return pa.schema([(PIECES, pa.large_list(pa.struct(list(self.rewrite.adds))))])

    def setup(self, *, n_threads: int) -> None:
        """The Rewrite's."""
        self.rewrite.setup(n_threads=n_threads)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The lists of a batch.

        Raises
        ------
        ValueError
            If the Rewrite names rows that it wasn't given, or not in order.
        """
        made = self.rewrite(batch)
        rows = made[ROW].to_numpy()
        if len(rows) and (rows[0] < 0 or rows[-1] >= len(batch) or (np.diff(rows) < 0).any()):
            raise ValueError(
                f"{type(self.rewrite).__name__} must name rows of its batch in order, got {rows.tolist()}."
            )
        starts = np.searchsorted(rows, np.arange(len(batch) + 1))
        columns = [made[column.name].cast(column.type).combine_chunks() for column in self.rewrite.adds]
        structs = pa.StructArray.from_arrays(columns, fields=list(self.rewrite.adds))
        return pa.table({PIECES: pa.LargeListArray.from_arrays(pa.array(starts, pa.int64()), structs)})


def rewrite_stage(rewrite: Rewrite, **settings: Any) -> Annotate:
    """The stage that takes the rows of a run through a Rewrite; `settings` are those of `Annotate` beside its Op."""
    measured = {"kind": "rewrite", "op": type(rewrite).__name__, **settings.pop("measured", {})}
    return Annotate(op=RewriteOp(rewrite), measured=measured, **settings)
