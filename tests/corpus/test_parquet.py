from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.corpus import Corpus, Shard, UnreadableFile, plan_shards, read_shard
from raypipe.corpus.cuts import cut_groups
from tests.corpus.reading import read_all

GROUPS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5000)), max_size=12)


@given(GROUPS, st.integers(1, 3000))
def test_ranges_cover_each_row_once_in_order(groups: list[tuple[int, int]], shard_bytes: int):
    ranges = cut_groups(groups, shard_bytes)
    assert [row for start, stop in ranges for row in range(start, stop)] == list(range(sum(n for n, _ in groups)))
    assert all(start < stop for start, stop in ranges)


def test_whole_row_groups_are_put_together_up_to_the_size_and_big_ones_sliced():
    assert cut_groups([(10, 40)] * 5, 100) == [(0, 20), (20, 40), (40, 50)]
    assert cut_groups([(10, 40), (10, 250), (10, 40)], 100) == [(0, 10), (10, 13), (13, 16), (16, 20), (20, 30)]
    assert cut_groups([(2, 10_000)], 100) == [(0, 1), (1, 2)]
    assert cut_groups([], 100) == []


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "x.parquet"
    texts = [f"{i} " + "x" * (i * 37 % 400) for i in range(3000)]
    table = pa.table({"text": texts, "id": range(3000), "m": [{"d": str(i % 3), "s": i} for i in range(3000)]})
    with pq.ParquetWriter(path, table.schema) as writer:
        for start, stop in ((0, 5), (5, 10), (10, 2500), (2500, 3000)):
            writer.write_table(table.slice(start, stop - start))
    return path


@given(st.integers(0, 2999), st.integers(1, 3000), st.integers(1, 3000) | st.none())
@settings(max_examples=60)
def test_any_slice_has_its_rows(file: Path, start: int, n_rows: int, max_rows: int | None):
    stop = min(3000, start + n_rows)
    status = file.stat()
    fingerprint = f"{status.st_size}-{status.st_mtime_ns}"
    shard = Shard("x.parquet", f"file://{file}", "rows", start, stop, fingerprint, max_rows=max_rows)
    corpus = Corpus((str(file),), id_column="id", domain_column="m.d", where="m.s >= 0")
    table = read_shard(corpus, shard)
    expected = range(start, min(stop, start + (max_rows or 3000)))
    assert table["id"].to_pylist() == [str(i) for i in expected]
    assert table["domain"].to_pylist() == [str(i % 3) for i in expected]
    assert table["text"].to_pylist() == [f"{i} " + "x" * (i * 37 % 400) for i in expected]


@pytest.mark.parametrize("shard_bytes", [1, 20_000, 100_000, 10**9])
def test_the_rows_do_not_depend_on_the_cut(file: Path, shard_bytes: int):
    corpus = Corpus((str(file),), where="m.s % 7 <> 0")
    if shard_bytes == 1:
        corpus = Corpus((str(file),), where="m.s % 7 <> 0", limit=40)
    rows = read_all(corpus, shard_bytes=shard_bytes)
    whole = read_all(corpus, shard_bytes=10**9)
    assert rows == whole
    assert len(rows) == (corpus.limit or 3000)


def test_the_plan_knows_the_rows(file: Path):
    plan = plan_shards(Corpus((str(file),)), shard_bytes=50_000, part_rows=1)
    assert len(plan) > 5
    assert sum(shard.n_rows or 0 for shard in plan) == 3000


def test_only_the_columns_needed_are_read(file: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []
    real = pq.ParquetFile.iter_batches

    def watched(self: pq.ParquetFile, *args: object, **options: object):
        asked.append((options["columns"], options["row_groups"]))
        return real(self, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    corpus = Corpus((str(file),), domain_column="m.d", where="id > 3")
    plan = plan_shards(corpus, shard_bytes=10**9, part_rows=1)
    asked.clear()
    read_shard(corpus, replace(plan.shards[0], start=6, stop=9))
    assert asked == [(["id", "m.d", "text"], [1])]


def test_a_slice_of_a_huge_row_group_is_not_the_whole_of_it_in_memory(tmp_path: Path):
    table = pa.table({"text": [f"{i:08d}" + "x" * 10_000 for i in range(10_000)]})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=10_000, use_dictionary=False)
    del table
    corpus = Corpus((str(tmp_path),))
    shard = plan_shards(corpus, shard_bytes=2_000_000, part_rows=1).shards[-1]
    pool = pa.system_memory_pool()
    default = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        before = pool.max_memory()
        rows = read_shard(corpus, shard)
        peak_bytes = pool.max_memory()
    finally:
        pa.set_memory_pool(default)
    assert before < 60_000_000
    assert rows["text"][-1].as_py().startswith("00009999")
    assert peak_bytes < 60_000_000  # of 100 MB


def test_a_file_rewritten_since_it_was_planned_is_refused(tmp_path: Path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    corpus = Corpus((str(tmp_path),))
    (shard,) = plan_shards(corpus, shard_bytes=1, part_rows=1)
    pq.write_table(pa.table({"text": ["b", "c"]}), tmp_path / "x.parquet")
    with pytest.raises(UnreadableFile, match="rewritten or removed since it was planned"):
        read_shard(corpus, shard)
    (tmp_path / "x.parquet").unlink()
    with pytest.raises(UnreadableFile, match=r"x\.parquet was rewritten or removed"):
        read_shard(corpus, shard)


def test_a_condition_without_columns_is_evaluated_for_each_row(file: Path):
    corpus = Corpus((str(file),), where="1 = 1", limit=3)
    assert [row["reason"] for row in read_all(corpus)] == [None] * 3


def test_one_row_that_a_condition_fails_on_does_not_hurt_the_others(tmp_path: Path):
    pq.write_table(pa.table({"text": ["a", "b", "c", None], "n": ["1", "x", "0", "1"]}), tmp_path / "x.parquet")
    rows = read_all(Corpus((str(tmp_path),), where="CAST(n AS INT) = 1"))
    assert [row["reason"] for row in rows][::2] == [None, "filtered"]
    assert rows[1]["reason"].startswith("condition failed: Conversion Error: Could not convert string 'x'")
    assert rows[3]["reason"] == "null text"
