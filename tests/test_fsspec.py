"""The road of hf:// and of any other store that fsspec knows, walked with its store in memory."""

import json
import secrets

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, plan_shards, read_shard
from raypipe.storage.folder import Folder
from raypipe.storage.uris import filesystem

TEXTS = ["one text", "another", "Ünïcode"]


@pytest.fixture
def folder() -> Folder:
    return Folder(f"fsspec+memory://{secrets.token_hex(4)}")


def test_files_are_put_listed_read_and_removed(folder: Folder) -> None:
    folder.write("a/b.json", b"1")
    assert folder.create("c", b"2")
    assert not folder.create("c", b"3")
    assert folder.swap("c", b"4", seen=b"2")
    assert not folder.swap("c", b"5", seen=b"2")
    assert [(entry.path, entry.size_bytes) for entry in folder.files(recursive=True)] == [("a/b.json", 1), ("c", 1)]
    assert folder.read("c") == b"4"
    assert folder.exists("c")
    folder.delete("c")
    assert not folder.exists("c")
    with pytest.raises(FileNotFoundError):
        folder.read("c")


def test_a_corpus_is_read(folder: Folder) -> None:
    folder.write("corpus/a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode())
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": TEXTS}), sink)
    folder.write("corpus/b.parquet", sink.getvalue())
    corpus = Corpus((f"{folder.uri}/corpus",))
    tables = [read_shard(corpus, shard) for shard in plan_shards(corpus, shard_bytes=1 << 20, part_rows=100).shards]
    assert [table["text"].to_pylist() for table in tables] == [TEXTS, TEXTS]


@pytest.mark.parametrize(
    ("uri", "path"),
    [("hf://datasets/org/name/data", "datasets/org/name/data"), ("gs://bucket/folder", "bucket/folder")],
)
def test_hugging_face_and_google_are_opened_by_name(uri: str, path: str) -> None:
    assert filesystem(uri)[1] == path
