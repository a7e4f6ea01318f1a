"""A store that fails a share of all requests costs time, no row and no file."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import columns
from raypipe.corpus import Corpus, UnreadableFile, load, plan_shards, read_shard, save
from raypipe.run.commit import commit, file_name, recount
from raypipe.run.rows import ShardResult
from raypipe.storage import retry
from raypipe.storage.folder import Folder
from tests.corpus.reading import tables_of
from tests.failing_store import FailingStore


@pytest.fixture
def store(s3_endpoint: str, s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FailingStore]:
    with FailingStore(s3_endpoint, share=0.0) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.uri)
        yield store


def fill(bucket: str, n_files: int) -> None:
    """Files of three formats, put past the store's moods."""
    client = boto3.client("s3")
    for i in range(n_files):
        rows = [{"text": f"file {i} row {row}"} for row in range(20)]
        lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=5)
        suffix, body = [("parquet", sink.getvalue().to_pybytes()), ("jsonl", lines), ("json.gz", gzip.compress(lines))][
            i % 3
        ]
        client.put_object(Bucket=bucket.removeprefix("s3://"), Key=f"in/{i:05d}.{suffix}", Body=body)


def carry(bucket: str, n_files: int) -> None:
    """Plan a corpus, read and commit each shard, count and delete again: all that a stage does on a store."""
    corpus, run, threads = Corpus((f"{bucket}/in",)), Folder(f"{bucket}/run"), ThreadPoolExecutor(16)
    plan = plan_shards(corpus, shard_bytes=10**6, part_rows=12)
    assert (len(plan), [shard.broken for shard in plan if shard.broken]) == (n_files, [])
    save(plan.known, run, "inputs.arrow")
    assert load(run, "inputs.arrow") == plan.known

    def take(shard) -> list[str]:
        texts: list[str] = []
        for part, table in tables_of(corpus, shard, part_rows=12):
            texts += table["text"].to_pylist()
            outcome = pa.table([["scored"] * len(table), [None] * len(table)], schema=columns.OUTCOME)
            commit(
                run / "stage", file_name(part, is_last=False), shard=part, source=table, result=ShardResult(outcome, 0)
            )
        return texts

    texts = [text for of_shard in threads.map(take, plan) for text in of_shard]
    assert sorted(texts) == sorted(f"file {i} row {row}" for i in range(n_files) for row in range(20))
    names = [entry.path for entry in (run / "stage").files()]
    assert len(names) == n_files + n_files // 3  # a stream has two parts
    assert recount(run / "stage", names).rows == 20 * n_files
    assert all(threads.map((run / "stage").exists, names))
    list(threads.map((run / "stage").delete, names))
    assert (run / "stage").files() == []


@pytest.mark.slow
def test_no_row_is_lost_while_a_store_fails_a_tenth_of_all_requests(s3_bucket: str, store: FailingStore) -> None:
    fill(s3_bucket, 18)
    store.share = 0.1
    carry(s3_bucket, 18)
    assert store.counts["busy"] > 10
    assert min(store.counts["broken"], store.counts["lost"]) > 0


@pytest.mark.slow
@pytest.mark.long
def test_nor_over_a_thousand_objects_at_five_percent(s3_bucket: str, store: FailingStore) -> None:
    fill(s3_bucket, 1000)
    store.share = 0.05
    carry(s3_bucket, 1000)
    assert store.counts["busy"] > 200


def test_a_lock_is_taken_and_swapped_once_though_answers_are_lost(s3_bucket: str, store: FailingStore) -> None:
    store.share, run = 0.3, Folder(s3_bucket)
    for i in range(5):
        assert run.create(f"lock{i}", b"first") is True
        assert run.create(f"lock{i}", b"other") is False
        assert run.swap(f"lock{i}", b"second", seen=b"first") is True
        assert run.swap(f"lock{i}", b"third", seen=b"first") is False
        assert run.read(f"lock{i}") == b"second"
    assert store.counts["lost"] > 0


@pytest.mark.slow
def test_a_file_that_stays_out_of_reach_is_named(
    s3_bucket: str, store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3_bucket, 3)
    monkeypatch.setattr(retry, "RETRY_S", 0.3)
    folder = Folder(f"{s3_bucket}/in")
    corpus = Corpus((f"{s3_bucket}/in",))
    plan = plan_shards(corpus, shard_bytes=10**6, part_rows=12)
    with folder.open("00001.jsonl") as opened:
        store.failing = "00001.jsonl"
        uses = {
            "exists": lambda: folder.exists("00001.jsonl"),
            "open": lambda: folder.open("00001.jsonl"),
            "read": lambda: folder.read("00001.jsonl"),
            "read in the middle": opened.read,
            "write": lambda: folder.write("00001.jsonl", b""),
            "create": lambda: folder.create("00001.jsonl", b""),
            "swap": lambda: folder.swap("00001.jsonl", b"", seen=b""),
            "shard": lambda: read_shard(corpus, plan.shards[1]),
        }
        for name, use in uses.items():
            with pytest.raises(OSError, match=rf"{s3_bucket}/in/00001\.jsonl.*tried again for"):
                pytest.fail(f"{name} gave {use()!r}")
    store.failing = s3_bucket.removeprefix("s3://")
    with pytest.raises(OSError, match=rf"{s3_bucket}/in: .*tried again for"):
        folder.files()
    with pytest.raises(OSError, match=rf"{s3_bucket}/in: .*tried again for"):
        plan_shards(corpus, shard_bytes=10**6, part_rows=12)


def test_a_file_rewritten_between_two_reads_is_no_mixture(
    s3_bucket: str, store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(s3_bucket)
    folder.write("a", b"one" * 100)
    with folder.open("a") as file:
        assert file.read(3) == b"one"
        folder.write("a", b"other" * 100)
        monkeypatch.setattr(retry, "RETRY_S", 0.0)
        store.failing = "/a"
        with pytest.raises(OSError, match="/a: "):
            file.read(3)
        store.failing = None
        with pytest.raises(OSError, match="was rewritten while it was read"):
            file.read(3)


def test_bodies_are_sent_whole_to_stores_that_may_not_know_chunks(s3_bucket: str, store: FailingStore) -> None:
    folder = Folder(s3_bucket)
    folder.write("a", b"x" * 100)
    folder.create("lock.json", b"y" * 100)
    assert folder.swap("lock.json", b"z" * 100, seen=b"y" * 100)
    sent = [headers for headers in store.headers if headers.get("content-length", "0") != "0"]
    assert len(sent) >= 3
    assert not [headers for headers in store.headers if "x-amz-trailer" in headers or "transfer-encoding" in headers]


def test_an_unreadable_shard_of_a_store_is_an_unreadable_file(
    s3_bucket: str, store: FailingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(s3_bucket, 3)
    monkeypatch.setattr(retry, "RETRY_S", 0.3)
    corpus = Corpus((f"{s3_bucket}/in",))
    plan = plan_shards(corpus, shard_bytes=10**6, part_rows=12)
    store.failing = "/in/0000"
    for shard in plan:
        with pytest.raises(UnreadableFile, match=rf"{s3_bucket}/in/0000\d\..*can't be (read|opened)"):
            tables_of(corpus, shard)
