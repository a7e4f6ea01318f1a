from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest

from raypipe.run.pieces import PIECES, exploded
from raypipe.run.rewrite import RewriteOp


@dataclass(frozen=True)
class Repeated:
    """Each text as often as its length, with the rows named by `rows` where given."""

    rows: tuple[int, ...] | None = None
    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[pa.Schema] = pa.schema([("text", pa.large_string()), ("n", pa.int32())])

    def setup(self, *, n_threads: int) -> None: ...

    def __call__(self, batch: pa.Table) -> pa.Table:
        made = [(row, text, len(text)) for row, text in enumerate(batch["text"].to_pylist()) for _ in text]
        rows, texts, ns = zip(*made, strict=True) if made else ((), (), ())
        return pa.table({"row": pa.array(self.rows or rows, pa.int64()), "text": texts, "n": pa.array(ns, pa.int64())})


def test_the_lists_of_a_batch_are_the_rows_of_each_row() -> None:
    found = RewriteOp(Repeated())(pa.table({"text": ["ab", "", "xyz"]}))
    assert [len(pieces) for pieces in found[PIECES].to_pylist()] == [2, 0, 3]
    assert found[PIECES][0].as_py() == [{"text": "ab", "n": 2}] * 2
    assert found.schema.equals(RewriteOp(Repeated()).adds)


@pytest.mark.parametrize("rows", [(0, 1, 0), (0, 0, 2), (-1, 0, 1)])
def test_rows_that_were_not_given_or_are_out_of_order_are_refused(rows: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="Repeated must name rows of its batch in order, got"):
        RewriteOp(Repeated(rows))(pa.table({"text": ["a", "bc"]}))


def test_lists_become_rows_that_name_where_they_come_from() -> None:
    keys = pa.table({"id": ["p", "q", "r", "s"], "text_hash": pa.array([7, None, 8, 9], pa.int64())})
    kind = RewriteOp(Repeated()).adds.field(PIECES).type
    lists = pa.array([[{"text": "a", "n": 1}, {"text": "b", "n": 2}], None, [], [{"text": None, "n": 4}]], kind)
    assert exploded(keys, lists).to_pylist() == [
        {"id": "p#0", "source_id": "p", "source_row": 0, "piece": 0, "source_text_hash": 7, "text": "a", "n": 1},
        {"id": "p#1", "source_id": "p", "source_row": 0, "piece": 1, "source_text_hash": 7, "text": "b", "n": 2},
        {"id": "s#0", "source_id": "s", "source_row": 3, "piece": 0, "source_text_hash": 9, "text": None, "n": 4},
    ]
    assert len(exploded(keys, pa.array([None] * 4, kind))) == 0
    assert np.array_equal(exploded(keys.slice(3), lists.slice(3))["source_row"].to_numpy(), [0])
