"""One shard through an Op: batch by batch, around documents that fail and batches that don't fit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import OUTCOME, REASON, SCORED, SKIPPED, STATUS, TEXT
from raypipe.run.op import Op, Report

MAX_FAILED = 10
"""Documents of a shard that may raise; if more do, and a twentieth of the shard, the Op is broken, not they."""


class BrokenOp(RuntimeError):
    """So many documents of a shard raise that the fault isn't theirs; the runner stops the job."""


@dataclass
class ShardResult:
    """The columns that a shard's file gets, and what was unusual on the way."""

    table: pa.Table
    """The Op's columns + status and reason, one row for each row that came in, same order."""
    halved: int
    """Batches that were cut in two because they didn't fit into memory."""


@dataclass
class Work:
    """Batches of one shard, done one after another; what came of them so far."""

    op: Op
    prepared: pa.Table
    report: Report
    parts: list[tuple[np.ndarray, pa.Table]] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    halved: int = 0

    def run(self, rows: np.ndarray) -> None:
        """One batch; what fails is cut in two until it is a single document."""
        started = time.monotonic()
        batch = self.prepared.take(rows)
        try:
            part = self.op(batch)
        except MemoryError as error:
            self.halved += len(rows) > 1
            self._split(rows, f"out of memory alone: {error}")
        except Exception as error:  # whatever a document makes the Op raise is that document's reason
            self._split(rows, f"failed: {type(error).__name__}: {error}")
        else:
            self.parts.append((rows, part))
            self.report(len(rows), self.op.cost(batch), time.monotonic() - started)

    def _split(self, rows: np.ndarray, reason: str) -> None:
        if len(rows) == 1:
            self._fail(int(rows[0]), reason)
            return
        middle = len(rows) // 2
        self.run(rows[:middle])
        self.run(rows[middle:])

    def _fail(self, row: int, reason: str) -> None:
        self.failed[row] = reason[:300]
        if len(self.failed) > max(MAX_FAILED, len(self.prepared) // 20):
            raise BrokenOp(f"{len(self.failed)} documents of one shard failed, the last with: {reason}")


def prepare(op: Op, source: pa.Table) -> pa.Table:
    """What the Op's prepare gives for all rows; a document that makes it raise becomes a skipped row.

    Raises
    ------
    BrokenOp
        If more than MAX_FAILED documents and 5 % of the shard raise.
    """
    try:
        return op.prepare(source)
    except Exception:  # one document of them: found below
        failed: dict[int, str] = {}
        _find_failing(op, source, np.arange(len(source)), failed)
        return op.prepare(without(source, failed))


def _find_failing(op: Op, source: pa.Table, rows: np.ndarray, failed: dict[int, str]) -> None:
    try:
        op.prepare(source.take(rows))
    except Exception as error:
        if len(rows) > 1:
            middle = len(rows) // 2
            _find_failing(op, source, rows[:middle], failed)
            _find_failing(op, source, rows[middle:], failed)
            return
        failed[int(rows[0])] = f"failed: {type(error).__name__}: {error}"[:300]
        if len(failed) > max(MAX_FAILED, len(source) // 20):
            raise BrokenOp(f"{len(failed)} documents of one shard can't be prepared, the last: {error}") from error


def without(source: pa.Table, lost: dict[int, str]) -> pa.Table:
    """columns.SOURCE with some rows (row -> reason) skipped: they keep their place and lose their text."""
    reasons = [lost.get(row, reason) for row, reason in enumerate(source[REASON].to_pylist())]
    texts = pc.if_else(pa.array([row not in lost for row in range(len(source))]), source[TEXT], None)
    changed = {REASON: pa.array(reasons, pa.string()), TEXT: texts}
    return pa.table({name: changed.get(name, source[name]) for name in source.column_names}, schema=source.schema)


def through(op: Op, prepared: pa.Table, *, report: Report, crashed: dict[int, str] | None = None) -> ShardResult:
    """All rows of a shard through the Op; `crashed` rows (row -> reason) are skipped but batches stay as they are.

    Raises
    ------
    BrokenOp
        If more than MAX_FAILED documents and 5 % of the shard raise.
    """
    work = Work(op, prepared, report, failed=dict(crashed or {}))
    for rows in op.batches(prepared):
        alive = rows[~np.isin(rows, list(crashed))] if crashed else rows
        if len(alive):
            work.run(alive)
    return ShardResult(assemble(op.adds, prepared, work.parts, work.failed), work.halved)


def assemble(
    adds: pa.Schema, prepared: pa.Table, parts: Sequence[tuple[np.ndarray, pa.Table]], failed: dict[int, str]
) -> pa.Table:
    """The table of a shard from the parts computed: `adds` + status and reason; rows in no part are null."""
    order = np.full(len(prepared), -1, dtype=np.int64)
    done = 0
    for rows, part in parts:
        order[rows] = np.arange(done, done + len(part))
        done += len(part)
    take = pa.array(order, mask=order < 0)
    computed = pa.concat_tables([part for _, part in parts]) if parts else None
    columns = {}
    for column in adds:
        if column.name in prepared.column_names:
            columns[column.name] = prepared[column.name]
        elif computed is None:
            columns[column.name] = pa.nulls(len(prepared), column.type)
        else:
            columns[column.name] = computed[column.name].take(take)
    reasons = prepared[REASON].to_pylist()
    for row, reason in failed.items():
        reasons[row] = reason
    reason = pa.array(reasons, OUTCOME.field(REASON).type)
    columns[STATUS] = pc.if_else(pc.is_null(reason), SCORED, SKIPPED)
    columns[REASON] = reason
    return pa.table(columns, schema=pa.schema([*adds, *OUTCOME]))
