import gzip
import json

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, UnreadableFile, load, plan_shards, read_shard, save
from raypipe.storage.folder import Folder
from tests.corpus.reading import read_all

ROWS = [{"text": f"text {i}", "lang": "en" if i % 2 else "de"} for i in range(50)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def bucket(s3_bucket: str) -> str:
    """A bucket with a few files in it."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=10)
    files = {
        "data/a.parquet": sink.getvalue().to_pybytes(),
        "data/date=1/b c%20é.jsonl": LINES,
        "data/date=1/d.json.gz": gzip.compress(LINES),
        "data/_SUCCESS": b"",
        "data/README.md": b"",
    }
    for key, body in files.items():
        boto3.client("s3").put_object(Bucket=s3_bucket.removeprefix("s3://"), Key=key, Body=body)
    return s3_bucket


def test_a_bucket_is_planned_and_read_like_a_folder(bucket: str):
    corpus = Corpus((f"{bucket}/data",), where="lang = 'en'")
    plan = plan_shards(corpus, shard_bytes=300, part_rows=20)
    assert (plan.n_files, plan.ignored) == (3, 1)
    assert len(plan) > 6
    rows = read_all(corpus, shard_bytes=300, part_rows=20)
    for path in ("a.parquet", "date=1/b c%20é.jsonl", "date=1/d.json.gz"):
        own = [row for row in rows if row["path"] == path]
        assert [row["text"] for row in own] == [row["text"] if row["lang"] == "en" else None for row in ROWS]


def test_globs_names_and_single_objects(bucket: str):
    def paths(*sources: str) -> list[str]:
        return sorted({row["path"] for row in read_all(Corpus(sources))})

    assert paths(f"{bucket}/data/*.parquet") == ["a.parquet"]
    assert paths(f"{bucket}/**/*.gz") == ["data/date=1/d.json.gz"]
    assert paths(f"x={bucket}/data/date=*/*.json*") == ["x/date=1/b c%20é.jsonl", "x/date=1/d.json.gz"]
    assert paths(f"{bucket}/data/a.parquet") == ["a.parquet"]
    with pytest.raises(FileNotFoundError, match=f"nothing at {bucket}/nothing"):
        paths(f"{bucket}/nothing")


def test_the_cache_is_kept_there_and_a_replaced_object_is_noticed(bucket: str):
    corpus = Corpus((f"{bucket}/data/a.parquet",))
    plan = plan_shards(corpus, shard_bytes=10**6, part_rows=20)
    save(plan.known, Folder(f"{bucket}/run"), "inputs.arrow")
    assert load(Folder(f"{bucket}/run"), "inputs.arrow") == plan.known
    there = {"Bucket": bucket.removeprefix("s3://"), "Key": "data/a.parquet"}
    boto3.client("s3").put_object(**there, Body=b"something else")
    with pytest.raises(UnreadableFile, match="was rewritten or removed"):
        read_shard(corpus, plan.shards[0])
    boto3.client("s3").delete_object(**there)
    with pytest.raises(UnreadableFile, match="was rewritten or removed"):
        read_shard(corpus, plan.shards[0])
