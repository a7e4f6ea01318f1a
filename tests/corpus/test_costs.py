"""What reading costs, counted: bytes from storage and copies of the text in memory."""

import gzip
import json
import random
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.corpus.files import Files

from .reading import tables_of

N_ROWS, N_CHARS = 1200, 2000
TEXT_BYTES = N_ROWS * N_CHARS


class Counting:
    """A file that counts the bytes that are read from it."""

    total = 0

    def __init__(self, path: str) -> None:
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        Counting.total += len(data)
        return data

    def seek(self, position: int, whence: int = 0) -> int:
        return self.file.seek(position, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
        self.closed = True

    def flush(self) -> None: ...
    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False


@pytest.fixture
def texts() -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices("abcdefghijklmnop", k=N_CHARS)) for _ in range(N_ROWS)]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    def opened(self: Files, uri: str) -> pa.NativeFile:
        return pa.PythonFile(Counting(uri.removeprefix("file://")), mode="r")

    monkeypatch.setattr(Files, "open", opened)
    Counting.total = 0
    return Counting


def read_all_shards(folder: Path) -> tuple[int, int]:
    corpus = Corpus((str(folder),))
    plan = plan_shards(corpus, shard_bytes=TEXT_BYTES * 3 // 10, part_rows=300)
    Counting.total = 0
    tables = [table for shard in plan for _, table in tables_of(corpus, shard, part_rows=300)]
    assert sum(len(table) for table in tables) == N_ROWS
    return len(tables), Counting.total


def test_of_parquet_only_the_columns_needed_are_fetched_once(tmp_path, texts, counted):
    table = pa.table({"text": texts, "html": [text[::-1] * 4 for text in texts]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=N_ROWS // 4, compression="none", use_dictionary=False)
    n_shards, n_bytes = read_all_shards(tmp_path)
    assert n_shards == 4
    assert TEXT_BYTES <= n_bytes <= 1.15 * TEXT_BYTES  # of a file five times as large


def test_lines_are_fetched_once_and_at_cuts_a_little_more(tmp_path, texts, counted):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    n_shards, n_bytes = read_all_shards(tmp_path)
    assert n_shards >= 4
    assert n_bytes <= path.stat().st_size + n_shards * (64 << 10)


def test_a_stream_is_fetched_once_for_all_its_parts(tmp_path, texts, counted):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps({"text": text}) + "\n" for text in texts).encode()))
    n_parts, n_bytes = read_all_shards(tmp_path)
    assert n_parts == 4
    assert n_bytes == path.stat().st_size


@pytest.mark.parametrize(("name", "times"), [("a.parquet", 2.2), ("a.jsonl", 3.6)])
def test_a_shard_holds_its_text_few_times(tmp_path, texts, name, times):
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": texts}), tmp_path / name)
    else:
        (tmp_path / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    corpus = Corpus((str(tmp_path),))
    (shard,) = plan_shards(corpus, shard_bytes=1 << 40, part_rows=1).shards
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    ((_, table),) = tables_of(corpus, shard)
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = pa.total_allocated_bytes() - before
    assert len(table) == N_ROWS
    assert kept <= 1.3 * TEXT_BYTES  # the table that goes on
    assert python <= times * TEXT_BYTES  # a block, its lines, and the values being judged


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.dictionary(pa.int32(), pa.string()), "text"),
        (pa.string(), "text"),
        (pa.large_binary(), "text"),
        (pa.json_(), "text"),
        (pa.string(), "m.text"),
    ],
    ids=str,
)
def test_few_distinct_texts_are_planned_by_the_size_of_the_text(tmp_path, texts, kind, name):
    numbers = pa.array([i % 20 for i in range(20_000)], pa.int32())
    repeated = pa.DictionaryArray.from_arrays(numbers, pa.array(texts[:20]))
    column = repeated.cast(pa.string()).cast(kind) if kind != repeated.type else repeated
    table = pa.table({"text": column})
    if name != "text":
        table = pa.table({"m": pa.StructArray.from_arrays([column], ["text"])})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=15_000)
    assert (tmp_path / "a.parquet").stat().st_size < 150_000
    corpus = Corpus((str(tmp_path),), text_column=name)
    plan = plan_shards(corpus, shard_bytes=2_000_000, part_rows=1)
    assert sum(shard.n_rows for shard in plan) == 20_000
    assert max(shard.n_rows for shard in plan) * N_CHARS <= 2_000_000
    assert len(plan) <= 22
    before = pa.total_allocated_bytes()
    assert sum(len(table) for shard in plan.shards[:2] for _, table in tables_of(corpus, shard)) == 2 * 1000
    assert pa.total_allocated_bytes() == before


def test_a_plan_reads_no_column_of_texts_that_are_all_different(tmp_path, texts, counted):
    pq.write_table(
        pa.table({"text": texts}), tmp_path / "a.parquet", dictionary_pagesize_limit=100_000, write_batch_size=50
    )
    plan_shards(Corpus((str(tmp_path),)), shard_bytes=2_000_000, part_rows=1)
    assert counted.total < 200_000  # the footer, of 2.4 MB
