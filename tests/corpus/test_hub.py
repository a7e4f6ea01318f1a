"""Data sets of a hub as a corpus, against a stand-in of its API on this machine."""

import io
import json
import socket
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.storage import hub as hub_module
from raypipe.storage.hub import pinned, split
from tests.corpus.reading import read_all
from tests.storage.hub_stand_in import Hub, serving

TOKEN = "hf_" + "a" * 30


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub()) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        monkeypatch.setattr(hub_module, "PIN_S", 0.3)
        yield running


def lines(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def parquet(*texts: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": texts}), sink)
    return sink.getvalue()


def texts_of(uri: str, **settings: object) -> list[str]:
    return [row["text"] for row in read_all(Corpus((uri,), **settings))]


def test_a_data_set_is_read_and_a_file_or_glob_of_it(hub):
    tree = {"README.md": b"#", ".gitattributes": b"", "data/a.jsonl": lines("a", "b"), "data/b.parquet": parquet("c")}
    hub.commit("org/web", tree)
    assert texts_of("hf://datasets/org/web") == ["a", "b", "c"]
    assert texts_of("web=hf://datasets/org/web/data/b.parquet") == ["c"]
    assert texts_of("hf://datasets/org/web/data/*.jsonl") == ["a", "b"]
    assert all(asked.startswith("bytes=") for asked in hub.ranges)


def test_a_branch_is_pinned_when_the_corpus_is_planned(hub):
    first = hub.commit("org/web", {"a.jsonl": lines("old"), "b.jsonl": lines("same")})
    corpus = Corpus(("hf://datasets/org/web",))
    before = plan_shards(corpus, shard_bytes=1000, part_rows=10)
    assert before.shards[0].uri == f"hf://datasets/org/web@{first}/a.jsonl"
    hub.commit("org/web", {"a.jsonl": lines("new"), "b.jsonl": lines("same")})  # of the same size
    after = plan_shards(corpus, shard_bytes=1000, part_rows=10)
    assert [old.key == new.key for old, new in zip(before, after, strict=True)] == [False, True]
    assert texts_of("hf://datasets/org/web") == ["new", "same"]
    assert texts_of(f"hf://datasets/org/web@{first}") == ["old", "same"]


def test_a_busy_hub_is_asked_again(hub):
    hub.commit("org/web", {"a.jsonl": lines("a")})
    hub.busy += [503, 429]
    assert texts_of("hf://datasets/org/web") == ["a"]
    assert not hub.busy


def test_a_private_data_set_needs_its_token_which_nobody_is_shown(hub, monkeypatch, caplog, capsys):
    hub.commit("org/own", {"a.jsonl": lines("a")})
    hub.private["org/own"] = TOKEN
    with pytest.raises(FileNotFoundError, match="private; check the name, and set HF_TOKEN"):
        texts_of("hf://datasets/org/own")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    plan = plan_shards(Corpus(("hf://datasets/org/own",)), shard_bytes=1000, part_rows=10)
    assert texts_of("hf://datasets/org/own") == ["a"]
    assert TOKEN not in f"{plan}{caplog.text}{capsys.readouterr()}"


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("hf://datasets/org/none", FileNotFoundError, "no repository of this name"),
        ("hf://datasets/org/web@v9", FileNotFoundError, "no revision of this name"),
        ("hf://datasets/org/web/nothing", FileNotFoundError, "nothing at hf://datasets/org/web@"),
        ("hf://datasets/org", ValueError, r"hf://datasets/ORG/NAME\[@REVISION\]/PATH, got"),
    ],
)
def test_what_is_not_there_is_said_at_once(hub, uri, error, message):
    hub.commit("org/web", {"a.jsonl": lines("a")})
    with pytest.raises(error, match=message):
        texts_of(uri)


def test_a_hub_that_nobody_reaches_is_named(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setattr(hub_module, "PIN_S", 0.1)
        with pytest.raises(OSError, match=f"hf://datasets/org/web: no answer from {endpoint}"):
            texts_of("hf://datasets/org/web")


def test_uris_are_taken_apart():
    assert split("hf://datasets/org/name/a/b") == ("dataset", "org/name", None, "a/b")
    assert split("hf://org/name@main") == ("model", "org/name", "main", "")
    assert split("hf://datasets/o/n@refs/convert/parquet/d/0") == ("dataset", "o/n", "refs/convert/parquet", "d/0")
    assert pinned("s3://bucket/a") == "s3://bucket/a"
