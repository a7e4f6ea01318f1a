"""A fitted regressor of instances over vectors, or over lists of them: a score each, and what a list's come to."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.classify.weakstil import WeakSTIL
from raypipe.columns import REASON
from raypipe.contracts.row_op import ReaderOp
from raypipe.fitting.vectors import NO_VECTOR, matrix
from raypipe.models.fitted import fitted_identity, open_fitted
from raypipe.run.classify import Stamp, stamp_of
from raypipe.runs.card import Json
from raypipe.storage.folder import Folder

BATCH_ROWS = 256
OF_VECTORS = pa.schema([("score", pa.float32())])
OF_BAGS = pa.schema(
    [
        ("score", pa.float32()),
        ("scores", pa.large_list(pa.float32())),
        ("lowest", pa.float32()),
        ("highest", pa.float32()),
        ("lowest_at", pa.int32()),
        ("highest_at", pa.int32()),
    ]
)
"""The mean of a bag's scores; those of its instances, null where one has no vector; the ends, and which they are of."""


@lru_cache(maxsize=1)
def _opened(fitted: Folder, stamp: Stamp) -> WeakSTIL:
    return open_fitted(WeakSTIL, fitted)


@dataclass
class ScoreBags(ReaderOp):
    """Scores of a column's vectors by a fitted WeakSTIL."""

    fitted: Folder
    column: str
    """`stage.column`"""
    is_of_bags: bool
    """Whether it is of lists of vectors."""
    _seen: Stamp = field(default=(), init=False, repr=False, compare=False)

    version: ClassVar[int] = 1

    @property
    def reads(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    @property
    def adds(self) -> pa.Schema:
        """A score; of bags those of the instances too."""
        return OF_BAGS if self.is_of_bags else OF_VECTORS

    def identity(self) -> Json:
        """What the results follow from beside the column: settings and content of the fitted folder.

        Raises
        ------
        FileNotFoundError, ValueError
            If the folder holds no WeakSTIL.
        """
        self._seen = stamp_of(self.fitted)
        _opened(self.fitted, self._seen)
        own = {"op": "score_bags", "version": self.version, "column": self.column}
        return {**own, **fitted_identity(self.fitted)}

    def prepare(self, table: pa.Table) -> pa.Table:
        """All of the work: what is added + reason, same rows and order."""
        model = _opened(self.fitted, self._seen or stamp_of(self.fitted))
        column, of = table[self.column], self._of_bags if self.is_of_bags else _of_vectors
        parts = [of(model, column.slice(at, BATCH_ROWS)) for at in range(0, len(table), BATCH_ROWS)]
        found = pa.concat_tables([self.adds.empty_table(), *parts])
        none = pc.if_else(pc.is_null(found["score"]), pa.scalar(NO_VECTOR), pa.scalar(None, pa.string()))
        return found.append_column(REASON, pc.coalesce(table[REASON], none))

    def _of_bags(self, model: WeakSTIL, column: pa.ChunkedArray) -> pa.Table:
        lists = column.combine_chunks()
        scores = _scores(model, pa.chunked_array([lists.flatten()]))
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
        ends = np.cumsum(lengths)
        rows = [scores[end - n : end] for n, end in zip(lengths, ends, strict=True)]
        is_bag = np.array([bool(np.isfinite(row).any()) for row in rows], bool)
        bags = [row for row, there in zip(rows, is_bag, strict=True) if there]
        offsets, items = pa.array(np.concatenate([[0], ends]), pa.int64()), _floats(scores)
        found = {
            "score": _floats([np.nanmean(row) for row in bags]),
            "lowest": _floats([np.nanmin(row) for row in bags]),
            "highest": _floats([np.nanmax(row) for row in bags]),
            "lowest_at": pa.array([int(np.nanargmin(row)) for row in bags], pa.int32()),
            "highest_at": pa.array([int(np.nanargmax(row)) for row in bags], pa.int32()),
        }
        place = pa.array(np.cumsum(is_bag) - 1, pa.int64(), mask=~is_bag)
        columns = {name: of.take(place) for name, of in found.items()}
        own = pa.array(np.arange(len(rows)), mask=~is_bag)
        columns["scores"] = pa.LargeListArray.from_arrays(offsets, items).take(own)
        return pa.table([columns[name] for name in OF_BAGS.names], schema=OF_BAGS)


def _of_vectors(model: WeakSTIL, column: pa.ChunkedArray) -> pa.Table:
    return pa.table([_floats(_scores(model, column))], schema=OF_VECTORS)


def _scores(model: WeakSTIL, vectors: pa.ChunkedArray) -> np.ndarray:
    """[n] float64, NaN where there is no whole vector."""
    X, reasons = matrix([vectors])
    is_whole = np.array([reason is None for reason in reasons], bool)
    found = np.full(len(X), np.nan)
    if is_whole.any():
        found[is_whole] = model.predict(X[is_whole])
    return found


def _floats(values: np.ndarray | list[float]) -> pa.Array:
    """Null where NaN."""
    found = np.asarray(values, np.float64)
    return pa.array(found, pa.float32(), mask=np.isnan(found))
