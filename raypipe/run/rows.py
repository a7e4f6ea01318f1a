"""One shard through an Op: batch by batch, around documents that fail and batches that don't fit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import DOMAIN, KEYS, PLACE, REASON
from raypipe.contracts.op import Op, Report
from raypipe.contracts.parts import Part, assemble, without_reasons
from raypipe.models.causal import DeviceLost

MAX_FAILED = 10
"""Documents of a shard that may raise; if more do, and a twentieth of the shard, the Op is broken, not they."""

MAX_REASON = 300
_OF_ANY_ROW = (*KEYS.names, *PLACE.names, DOMAIN, "n_bytes")
"""Columns that a skipped row keeps."""


class BrokenOp(RuntimeError):
    """So many documents of a shard raise that the fault isn't theirs; the runner stops the job."""


@dataclass
class ShardResult:
    """The columns that a shard's file gets, and what was unusual on the way."""

    table: pa.Table
    """The Op's columns + status and reason, one row for each row that came in, same order."""
    halved: int
    """Batches that were cut in two because they didn't fit into memory."""
    padding: int = 0
    """Positions computed that held no token."""
    cost: int = 0
    """Work of the rows that came through, in the Op's unit."""


@dataclass
class Work:
    """Batches of one shard, done one after another; what came of them so far."""

    op: Op
    prepared: pa.Table
    report: Report
    parts: list[Part] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    halved: int = 0
    refused: int = 0
    """Rows that the Op itself gave a reason, such as a loss that isn't finite."""

    def run(self, rows: np.ndarray) -> None:
        """One batch; what fails is cut in two until it is a single document."""
        if (reason := self._try(rows)) is None:
            return
        if len(rows) == 1:  # whatever a document makes the Op raise is that document's reason
            self.failed[int(rows[0])] = reason
            check_failed(len(self.failed), len(self.prepared), reason)
            return
        middle = len(rows) // 2
        self.run(rows[:middle])
        self.run(rows[middle:])

    def _try(self, rows: np.ndarray) -> str | None:
        """Why the batch failed, None if it didn't; on return nothing of the failed call holds memory any more."""
        started = time.monotonic()
        batch = self.prepared.take(rows)
        try:
            part = self.op(batch)
        except MemoryError as error:
            self.halved += len(rows) > 1
            return f"out of memory alone: {error}"[:MAX_REASON]
        except DeviceLost:
            raise
        except Exception as error:
            return why(error)
        if len(part) != len(rows):
            name = type(self.op).__name__
            raise BrokenOp(f"{name} must give a row for each of {len(rows)} rows, got {len(part)}")
        self._keep(rows, part)
        self.report(len(rows), self.op.cost(batch), time.monotonic() - started)
        return None

    def _keep(self, rows: np.ndarray, part: pa.Table) -> None:
        """A batch's columns; rows that the Op gave a reason count as failed and have none."""
        kept, refused = without_reasons((rows, part))
        self.parts.append(kept)
        for row, reason in refused.items():
            self.failed[row], self.refused = reason[:MAX_REASON], self.refused + 1
            check_failed(len(self.failed), len(self.prepared), reason)


def why(error: Exception) -> str:
    """The reason of a document that made the Op raise."""
    return f"failed: {type(error).__name__}: {error}"[:MAX_REASON]


def check_failed(n_failed: int, n_rows: int, reason: str) -> None:
    """Tell a broken document from a broken Op.

    Raises
    ------
    BrokenOp
        If more than MAX_FAILED documents and 5 % of a shard failed.
    """
    if n_failed > max(MAX_FAILED, n_rows // 20):
        raise BrokenOp(f"{n_failed} documents of one shard failed, the last: {reason}")


def prepare(op: Op, source: pa.Table) -> pa.Table:
    """What the Op's prepare gives for all rows; a document that makes it raise becomes a skipped row.

    Raises
    ------
    BrokenOp
        If more than MAX_FAILED documents and 5 % of the shard raise, or all of them together and none alone.
    """
    failed: dict[int, str] = {}
    try:
        return op.prepare(source)
    except Exception as error:
        last = why(error)
    _find_failing(op, source, np.arange(len(source)), failed)
    if not failed:
        raise BrokenOp(f"the rows of one shard can't be prepared together, though each can alone: {last}")
    return op.prepare(without(source, failed))


def _find_failing(op: Op, source: pa.Table, rows: np.ndarray, failed: dict[int, str]) -> None:
    try:
        op.prepare(source.take(rows))
    except Exception as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            _find_failing(op, source, rows[:middle], failed)
            _find_failing(op, source, rows[middle:], failed)
        elif len(rows):
            failed[int(rows[0])] = why(error)
            check_failed(len(failed), len(source), failed[int(rows[0])])


def without(source: pa.Table, lost: dict[int, str]) -> pa.Table:
    """What an Op reads with some rows (row -> reason) skipped: they keep their place and keys, and lose the rest."""
    reasons = [lost.get(row, reason) for row, reason in enumerate(source[REASON].to_pylist())]
    kept = pa.array(np.arange(len(source)), mask=np.isin(np.arange(len(source)), list(lost)))
    columns = {name: source[name] if name in _OF_ANY_ROW else source[name].take(kept) for name in source.column_names}
    return pa.table({**columns, REASON: pa.array(reasons, pa.string())}, schema=source.schema)


def through(op: Op, prepared: pa.Table, *, report: Report) -> ShardResult:
    """All rows of a shard through the Op.

    Raises
    ------
    BrokenOp
        If more than MAX_FAILED documents and 5 % of the shard fail, or the Op gives all a reason, or it loses rows.
    """
    padding, work = op.padding, Work(op, prepared, report)
    for rows in op.batches(prepared):
        work.run(rows)
    if work.refused and not any(len(rows) for rows, _ in work.parts):
        last = next(reversed(work.failed.values()))
        raise BrokenOp(f"not one of {len(work.failed)} documents of one shard came through, the last: {last}")
    return whole(op, prepared, work.parts, work.failed, halved=work.halved, padding=op.padding - padding)


def whole(
    op: Op, prepared: pa.Table, parts: Sequence[Part], failed: dict[int, str], *, halved: int, padding: int
) -> ShardResult:
    """What a shard's file gets, of all that was done for it."""
    table = assemble(op.adds, prepared, parts, failed)
    came_through = prepared.filter(pc.is_null(table[REASON])) if table[REASON].null_count < len(table) else prepared
    return ShardResult(table, halved, padding, op.cost(came_through))
