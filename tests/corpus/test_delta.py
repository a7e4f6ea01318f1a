"""Delta tables as a corpus: the rows of one version, and none that its log has removed."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.storage.folder import Folder
from tests.corpus.reading import read_all

deltalake = pytest.importorskip("deltalake")


def texts_of(table: Path | str, **settings: object) -> list[str]:
    return sorted(row["text"] for row in read_all(Corpus((str(table),), **settings)))


def write(folder: Path, *texts: str, mode: str = "append", **more: list[str]) -> None:
    by = sorted(more) or None
    deltalake.write_deltalake(str(folder), pa.table({"text": list(texts), **more}), mode=mode, partition_by=by)


def test_the_newest_version_is_read_or_the_one_that_is_named(tmp_path):
    write(tmp_path / "t", "a", "b")
    write(tmp_path / "t", "c")
    write(tmp_path / "t", "d", mode="overwrite")
    assert texts_of(tmp_path / "t") == ["d"]
    assert texts_of(f"web={tmp_path}/t@v1") == ["a", "b", "c"]
    assert texts_of(f"{tmp_path}/t@v0/") == ["a", "b"]
    keys = [
        {shard.key for shard in plan_shards(Corpus((f"{tmp_path}/t{at}",)), shard_bytes=100, part_rows=10)}
        for at in ("", "@v2", "@v1")
    ]
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


def test_partitions_are_columns_and_their_paths_are_unquoted(tmp_path):
    write(tmp_path / "t", "a", "b", "c", lang=["en", "d e", "x/y"])
    rows = read_all(Corpus((str(tmp_path / "t"),), domain_column="lang"))
    assert sorted((row["text"], row["domain"]) for row in rows) == [("a", "en"), ("b", "d e"), ("c", "x/y")]
    assert [row["text"] for row in rows if row["reason"] is None] != []


def test_rows_that_were_deleted_are_gone(tmp_path):
    write(tmp_path / "t", "a", "b", "c")
    deltalake.DeltaTable(str(tmp_path / "t")).delete("text = 'b'")
    assert texts_of(tmp_path / "t") == ["a", "c"]


def log_more(folder: Path, *actions: dict) -> None:
    """One more version of a table, written by hand."""
    number = len(list((folder / "_delta_log").glob("*.json")))
    lines = "".join(json.dumps(action) + "\n" for action in actions)
    (folder / "_delta_log" / f"{number:020}.json").write_text(lines)


def protocol(*features: str) -> dict:
    asked = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    return {"protocol": asked}


@pytest.mark.parametrize("feature", ["deletionVectors", "columnMapping"])
def test_tables_whose_files_are_not_their_rows_are_refused(tmp_path, feature):
    write(tmp_path / "t", "a")
    log_more(tmp_path / "t", protocol(feature))
    with pytest.raises(ValueError, match=f"t has {feature}: its files alone aren't its rows. Rewrite it without"):
        texts_of(tmp_path / "t")
    assert texts_of(f"{tmp_path}/t@v0") == ["a"]


@pytest.mark.parametrize(
    ("at", "message"),
    [("@v7", r"/t, version 7, can't be read: "), ("", r"log of the Delta table .* can't be read: ")],
)
def test_a_version_that_is_not_there_or_a_broken_log_is_said(tmp_path, at, message):
    write(tmp_path / "t", "a")
    if not at:
        (tmp_path / "t/_delta_log/00000000000000000000.json").write_text("{not a log")
    with pytest.raises(ValueError, match=message):
        texts_of(f"{tmp_path}/t{at}")


def test_files_that_were_vacuumed_are_missed(tmp_path):
    write(tmp_path / "t", "a")
    next((tmp_path / "t").glob("*.parquet")).unlink()
    with pytest.raises(FileNotFoundError, match="lists 1 files that aren't there, such as part-"):
        texts_of(tmp_path / "t")


def test_a_damaged_file_of_a_table_is_set_aside_and_its_neighbours_are_read(tmp_path):
    write(tmp_path / "t", "a")
    write(tmp_path / "t", "b")
    path = min((tmp_path / "t").glob("*.parquet"))
    path.write_bytes(b"\0" * path.stat().st_size)
    rows = read_all(Corpus((str(tmp_path / "t"),)))
    assert [("error" in row, row.get("text") in ("a", "b")) for row in rows] == [(True, False), (False, True)]


def test_a_table_in_a_bucket_is_read_by_its_log(s3_bucket, tmp_path):
    write(tmp_path / "t", "a", "b", lang=["en", "d e"])
    write(tmp_path / "t", "c", mode="overwrite", lang=["x/y"])
    for file in (file for file in (tmp_path / "t").rglob("*") if file.is_file()):
        Folder(s3_bucket).write(f"t/{file.relative_to(tmp_path / 't')}", file.read_bytes())
    assert texts_of(f"{s3_bucket}/t") == ["c"]
    rows = read_all(Corpus((f"web={s3_bucket}/t@v0",), domain_column="lang", where="lang <> 'en'"))
    assert [row["text"] for row in rows if row["reason"] is None] == ["b"]
    with pytest.raises(ValueError, match=rf"log of the Delta table {s3_bucket}/t, version 7, can't be read: "):
        texts_of(f"{s3_bucket}/t@v7")
