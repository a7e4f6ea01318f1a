"""The votes of labelling functions on every row, as a stage has them: the Op behind votes/.

Source: A. Ratner et al., Data Programming, NeurIPS 2016, section 2: a matrix of votes, one column a function.
Departures: a function that raises on a row abstains there, and the row says which and why; one whose class isn't among
the classes likewise.
Cost: that of the functions; one pass.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.contracts.row_op import RowOp
from raypipe.label.functions.function import LabellingFunction, Said, said
from raypipe.label.votes import ABSTAIN

BATCH_ROWS = 1024
VOTES = pa.schema(
    [("votes", pa.list_(pa.int8())), ("failed", pa.list_(pa.int16())), ("failures", pa.list_(pa.string()))]
)
"""`votes`: a class by its number or -1 for each function; `failed`, `failures`: functions that raised, and why."""


@dataclass
class CastVotes(RowOp):
    """Asks every function about every row.

    >>> from raypipe.corpus.rows import source_of
    >>> from raypipe.label.functions.keywords import Keywords
    >>> from raypipe.label.functions.regex import Regex
    >>> functions = (Keywords("cheap", vote="spam", words=("prize",)), Regex("greets", vote="ham", pattern="^Dear"))
    >>> found = CastVotes(functions, classes=("ham", "spam"))(source_of(["Dear all", "Dear winner of a prize", "yes"]))
    >>> found["votes"].to_pylist()  # a row's vote by each function, -1 where it abstains
    [[-1, 0], [1, 0], [-1, -1]]
    """

    functions: tuple[LabellingFunction, ...]
    classes: tuple[str, ...]
    """Votes are their numbers in this order."""

    adds: ClassVar[pa.Schema] = VOTES
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = BATCH_ROWS

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of all functions."""
        return tuple(dict.fromkeys(name for function in self.functions for name in function.reads))

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The votes of a batch, a list for each row, and what failed."""
        votes = np.full((len(batch), len(self.functions)), ABSTAIN, np.int8)
        failed: list[list[int]] = [[] for _ in range(len(batch))]
        failures: list[list[str]] = [[] for _ in range(len(batch))]
        for number, function in enumerate(self.functions):
            found = self._known(said(function, batch))
            votes[:, number] = [ABSTAIN if one is None else self.classes.index(one) for one in found.classes]
            for row, why in found.failed.items():
                failed[row].append(number)
                failures[row].append(why)
        lists = pa.ListArray.from_arrays(
            np.arange(len(batch) + 1, dtype=np.int32) * votes.shape[1], pa.array(votes.ravel())
        )
        return pa.table([lists, failed, failures], schema=VOTES)

    def _known(self, found: Said) -> Said:
        """Those whose class is none of the classes fail."""
        unknown = {row: one for row, one in enumerate(found.classes) if one is not None and one not in self.classes}
        classes = [None if row in unknown else one for row, one in enumerate(found.classes)]
        return Said(classes, found.failed | {row: f"{one[:80]!r} is no class" for row, one in unknown.items()})
