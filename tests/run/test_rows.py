from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raypipe.columns import SOURCE
from raypipe.contracts.parts import assemble
from raypipe.corpus.rows import source_table
from raypipe.run.rows import BrokenOp, prepare, through, without

from .fake_op import RAISE, TOO_LARGE, FakeOp, score


def source(texts: list[str | None], reasons: dict[int, str] | None = None) -> pa.Table:
    given = reasons or {}
    return source_table(
        ids=[f"a:{row}" for row in range(len(texts))],
        domains=["all"] * len(texts),
        texts=[text.encode() if text is not None else None for text in texts],
        reasons=[given.get(row) for row in range(len(texts))],
    )


def run(texts: list[str | None], op: FakeOp | None = None, reasons: dict[int, str] | None = None):
    op, table = op or FakeOp(), source(texts, reasons)
    reports: list[tuple[int, int, float]] = []
    result = through(op, prepare(op, table), report=lambda *report: reports.append(report))
    return result, table, reports


def test_every_row_comes_out_in_its_place() -> None:
    result, table, reports = run(["one", "two words", None, "three"], reasons={2: "empty"})
    hashes = table["text_hash"].to_pylist()
    assert result.table["score"].to_pylist() == [None if h is None else score(h) for h in hashes]
    assert result.table["status"].to_pylist() == ["scored", "scored", "skipped", "scored"]
    assert result.table["reason"].to_pylist() == [None, None, "empty", None]
    assert [(rows, cost) for rows, cost, _ in reports] == [(3, 4)]
    assert (result.halved, result.padding) == (0, 1)


def test_rows_out_of_order_in_batches_are_put_back() -> None:
    adds = pa.schema([("score", pa.float32())])
    prepared = source(["a", "b", "c", "d"])
    parts = [(np.array([3, 0]), pa.table({"score": [3.0, 0.0]})), (np.array([2]), pa.table({"score": [2.0]}))]
    table = assemble(adds, prepared, [(rows, part.cast(adds)) for rows, part in parts], {1: "lost"})
    assert table["score"].to_pylist() == [0.0, None, 2.0, 3.0]
    assert table["reason"].to_pylist() == [None, "lost", None, None]


def test_no_rows_give_a_table_of_the_same_columns() -> None:
    result, _, reports = run([])
    assert result.table.schema.names == ["n_tokens", "score", "status", "reason"]
    assert (len(result.table), reports) == (0, [])


def test_a_document_that_raises_is_skipped_and_no_other() -> None:
    texts = [f"text {row}" for row in range(9)]
    texts[5] = RAISE
    result, table, _ = run(texts)
    assert result.table["reason"].to_pylist() == [
        "failed: RuntimeError: this document can't be scored" if row == 5 else None for row in range(9)
    ]
    assert result.table["score"].to_pylist()[4] == score(table["text_hash"][4].as_py())
    assert result.halved == 0  # cut in two, but not for want of memory


def test_a_batch_too_large_is_halved_until_it_fits_and_counted() -> None:
    texts = [f"text {row}" for row in range(8)]
    texts[3] = TOO_LARGE
    result, table, _ = run(texts, FakeOp(batch_rows=8))
    assert result.halved == 3  # 8, 4 and 2 rows
    assert result.table["score"].to_pylist() == [score(h) for h in table["text_hash"].to_pylist()]


class AlwaysTooLarge(FakeOp):
    def __call__(self, batch: pa.Table) -> pa.Table:
        raise MemoryError("no room at all")


def test_a_document_too_large_alone_is_skipped_with_that_reason() -> None:
    result, _, _ = run(["a", "b"], AlwaysTooLarge())
    assert result.table["reason"].to_pylist() == ["out of memory alone: no room at all"] * 2
    assert result.halved == 1


def test_memory_of_a_failed_batch_is_free_before_its_halves_are_tried() -> None:
    import weakref

    held: list[weakref.ref] = []

    class Leaky(FakeOp):
        def __call__(self, batch: pa.Table) -> pa.Table:
            assert all(ref() is None for ref in held), "the failed call's frames are still alive"
            if len(batch) > 1:
                tensor = np.zeros(10)
                held.append(weakref.ref(tensor))
                raise MemoryError
            return super().__call__(batch)

    result, _, _ = run(["a", "b", "c", "d"], Leaky())
    assert (len(held), result.halved) == (3, 3)


def test_more_than_ten_failures_and_a_twentieth_of_a_shard_are_a_broken_op() -> None:
    with pytest.raises(BrokenOp, match="11 documents of one shard failed, the last: failed: RuntimeError"):
        run([f"{RAISE} {row}" for row in range(100)])
    texts = [f"{RAISE} {row}" if row % 25 == 0 else f"text {row}" for row in range(300)]
    result, _, _ = run(texts)  # 12 of 300
    assert result.table["reason"].null_count == 288


class LosesRows(FakeOp):
    def __call__(self, batch: pa.Table) -> pa.Table:
        return super().__call__(batch).slice(1)


def test_an_op_that_loses_rows_is_broken() -> None:
    with pytest.raises(BrokenOp, match="LosesRows must give a row for each of 3 rows, got 2"):
        run(["a", "b", "c"], LosesRows())


class CannotPrepare(FakeOp):
    def prepare(self, table: pa.Table) -> pa.Table:
        if any(text is not None and "bad" in text for text in table["text"].to_pylist()):
            raise ValueError("no tokens for this")
        return super().prepare(table)


def test_a_document_that_cannot_be_prepared_is_skipped() -> None:
    result, _, _ = run(["a", "bad", "c", None], CannotPrepare(), reasons={3: "null text"})
    assert result.table["reason"].to_pylist() == [None, "failed: ValueError: no tokens for this", None, "null text"]
    with pytest.raises(BrokenOp, match="11 documents of one shard failed"):
        run(["bad"] * 40, CannotPrepare())


class FailsTogether(FakeOp):
    def prepare(self, table: pa.Table) -> pa.Table:
        if len(table) > 2:
            raise OverflowError("offset overflow")
        return super().prepare(table)


def test_rows_that_fail_only_together_are_nobodys_fault() -> None:
    with pytest.raises(BrokenOp, match=r"can't be prepared together, though each can alone: .*offset overflow"):
        run(["a", "b", "c"], FailsTogether())


def test_rows_taken_out_keep_their_place_and_lose_their_text() -> None:
    table = without(source(["a", "b", None], {2: "empty"}), {1: "crashed"})
    assert table.schema == SOURCE
    assert table["text"].to_pylist() == ["a", None, None]
    assert table["reason"].to_pylist() == [None, "crashed", "empty"]
    assert table["text_hash"].null_count == 1  # of the row that had no text


def test_long_reasons_are_cut(tmp_path: Path) -> None:
    class Verbose(FakeOp):
        def __call__(self, batch: pa.Table) -> pa.Table:
            raise ValueError("x" * 10_000)

    result, _, _ = run(["a"], Verbose())
    assert len(result.table["reason"][0].as_py()) == 300


class Refusing(FakeOp):
    """Gives some documents a reason itself."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        reasons = ["loss isn't finite" if "nan" in text else None for text in batch["text"].to_pylist()]
        return super().__call__(batch).append_column("reason", pa.array(reasons, pa.string()))


def test_a_row_that_the_op_gives_a_reason_is_skipped_without_its_columns() -> None:
    result, table, reports = run(["one", "nan", "three"], Refusing())
    hashes = table["text_hash"].to_pylist()
    assert result.table["score"].to_pylist() == [score(hashes[0]), None, score(hashes[2])]
    assert result.table["reason"].to_pylist() == [None, "loss isn't finite", None]
    assert result.table["status"].to_pylist() == ["scored", "skipped", "scored"]
    assert sum(rows for rows, _, _ in reports) == 3


def test_a_shard_of_which_no_row_comes_through_stops_the_job() -> None:
    with pytest.raises(BrokenOp, match="not one of 2 documents of one shard came through, the last: loss isn't finite"):
        run(["nan", "nan too", None], Refusing(), reasons={2: "empty"})
