"""What an Op gives batch by batch, put together to the table of all rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import OUTCOME, REASON, SCORED, SKIPPED, STATUS
from raypipe.contracts.op import Op

Part = tuple[np.ndarray, pa.Table]
"""Rows, and the computed columns of these rows."""


def apply(op: Op, source: pa.Table) -> pa.Table:
    """All rows through an Op that is set up, in this process: its columns + status and reason, same rows and order.

    Whatever a batch raises is raised: the runner's mercy (smaller batches, documents left out) is in `run`.
    """
    prepared = op.prepare(source)
    parts: list[Part] = []
    refused: dict[int, str] = {}
    for rows in op.batches(prepared):
        part, reasons = without_reasons((rows, op(prepared.take(rows))))
        parts.append(part)
        refused |= reasons
    return assemble(op.adds, prepared, parts, refused)


def without_reasons(part: Part) -> tuple[Part, dict[int, str]]:
    """The rows of a batch that came through, and the reasons of those that the Op gave one."""
    rows, table = part
    if REASON not in table.column_names:
        return part, {}
    reasons = table[REASON].to_pylist()
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    refused = {int(row): reason for row, reason in zip(rows, reasons, strict=True) if reason is not None}
    return (rows[kept], table.drop_columns([REASON]).filter(pa.array(kept, pa.bool_()))), refused


def assemble(adds: pa.Schema, prepared: pa.Table, parts: Sequence[Part], failed: dict[int, str]) -> pa.Table:
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
