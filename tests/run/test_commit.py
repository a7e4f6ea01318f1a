import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Shard
from raypipe.run.commit import commit, file_name, recount
from raypipe.run.rows import prepare, through
from raypipe.runs.card import FORMAT, identity_hash
from raypipe.runs.files import check_file
from raypipe.storage.folder import Folder

from .fake_op import FakeOp
from .test_rows import source

SHARD = Shard("web/a b.jsonl", "file:///c/web/a%20b.jsonl", "bytes", 400, 800, "10-20", size=400)


def put(folder: Folder, texts: list[str | None], reasons: dict[int, str] | None = None, identity: str = "") -> dict:
    table, op = source(texts, reasons), FakeOp()
    result = through(op, prepare(op, table), report=lambda *_: None)
    name = file_name(SHARD, is_last=True)
    return commit(folder, name, shard=SHARD, source=table, result=result, identity=identity)


def test_a_file_holds_keys_columns_outcome_and_where_its_rows_are(tmp_path: Path) -> None:
    counts = put(Folder(str(tmp_path)), ["one two", None, "three"], {1: "empty"})
    (path,) = tmp_path.iterdir()
    table = pq.read_table(path)
    assert table.column_names == ["id", "text_hash", "n_tokens", "score", "status", "reason"]
    assert table["id"].to_pylist() == ["a:0", "a:1", "a:2"]
    metadata = pq.read_metadata(path).metadata
    assert metadata[b"raypipe.source_path"] == b"web/a b.jsonl"
    assert metadata[b"raypipe.start"] == b"400"
    assert Shard(**json.loads(metadata[b"raypipe.shard"])) == SHARD
    wanted = {"rows": 3, "scored": 2, "skipped": {"empty": 1}, "tokens": 3, "halved": 0, "padding": 1}
    assert counts == {**wanted, "tokens_total": 0, "cost": 3, "truncated": 0}
    assert json.loads(metadata[b"raypipe.counts"]) == counts


def test_the_same_shard_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(Folder(str(tmp_path / name)), ["one", "two", None], {2: "empty"})
    first, second = sorted(tmp_path.rglob("*.parquet"))
    assert first.read_bytes() == second.read_bytes()


def test_only_the_last_part_of_a_stream_says_so() -> None:
    part = Shard("a.gz", "file:///a.gz", "part", 10, 15, "1-1", size=5)
    assert file_name(part, is_last=True) == part.key + ".last.parquet"
    assert file_name(part, is_last=False) == part.key + ".parquet"
    assert file_name(SHARD, is_last=True) == SHARD.key + ".parquet"


def test_totals_are_sums_of_what_footers_say(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    put(folder, ["one two", None, "three"], {1: "empty"})
    (name,) = [entry.path for entry in folder.files()]
    totals = recount(folder, [name] * 20)
    assert (totals.shards, totals.rows, totals.scored, totals.tokens) == (20, 60, 40, 60)
    assert totals.as_json()["skipped"] == {"empty": 20}
    assert totals.padding_fraction == 20 / 80


def test_a_file_with_other_rows_than_its_writer_counted_is_found(tmp_path: Path) -> None:
    counts = {"rows": 5, "scored": 5, "skipped": {}, "tokens": 0, "tokens_total": 0, "truncated": 0}
    table = pa.table({"id": ["a"]}).replace_schema_metadata({"raypipe.counts": json.dumps(counts)})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet must hold the 5 rows of its shard, got 1"):
        recount(Folder(str(tmp_path)), ["a.parquet"])


def test_a_file_of_another_identity_is_not_counted(tmp_path: Path) -> None:
    card = {"format": FORMAT, "stage": "scores", "identity": {"model": "a"}}
    own = identity_hash(card["identity"])
    put(Folder(str(tmp_path)), ["one"], identity=own)
    (path,) = tmp_path.iterdir()
    check_file(pq.read_metadata(path).metadata, card, where="a")  # as whoever reads it later does
    assert recount(Folder(str(tmp_path)), [path.name], identity=own).rows == 1
    for other in (identity_hash({"model": "b"}), ""):
        put(Folder(str(tmp_path)), ["one"], identity=other)
        with pytest.raises(ValueError, match=r"was made by other settings.* delete the file, and the same command"):
            recount(Folder(str(tmp_path)), [path.name], identity=own)


def test_a_million_footers_are_not_asked_for_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(Folder(str(tmp_path)), ["one", "two"])
    (path,) = tmp_path.iterdir()
    monkeypatch.setattr("raypipe.run.commit.AT_ONCE", 8)
    opened, ahead, plain = [], [], Folder.open
    monkeypatch.setattr(Folder, "open", lambda folder, name: (opened.append(name), plain(folder, name))[1])

    def names():
        for at in range(50):
            ahead.append(at - len(opened))
            yield path.name

    assert recount(Folder(str(tmp_path)), names()).rows == 100
    assert len(opened) == 50
    assert max(ahead) < 8
