"""All columns of rows, from every format that scoring reads."""

import gzip
import json
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from raypipe.corpus.records import read_records
from raypipe.corpus.shards import UnreadableFile
from raypipe.storage.folder import Folder

ROWS = [{"text": f"text {n}", "n": n, "nested": {"tags": ["a", str(n)]}} for n in range(2500)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(LINES))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(LINES))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "d.parquet", row_group_size=700)
    (tmp_path / "e.json").write_text(json.dumps(ROWS))
    return tmp_path


def test_every_format_gives_the_same_rows_in_their_order(folder):
    found = list(read_records([str(folder)]))
    assert [record.values for record in found] == ROWS * 5
    assert [(record.path, record.row) for record in found[2499:2501]] == [("a.jsonl", 2499), ("b.jsonl.gz", 0)]
    assert all(record.reason is None for record in found)


def test_globs_names_and_conditions_are_those_of_scoring(folder):
    found = list(read_records([f"web={folder}/*.jsonl.zst"], where="n >= 2490 and nested.tags[2] != '2495'"))
    kept = [record.values["n"] for record in found if record.reason is None]
    assert kept == [2490, 2491, 2492, 2493, 2494, 2496, 2497, 2498, 2499]
    assert {record.reason for record in found} == {None, "filtered"}
    assert {(record.path, record.domain) for record in found} == {("web/c.jsonl.zst", "web")}
    parquet = list(read_records([str(folder / "d.parquet")], where="n >= 2498"))
    assert [record.row for record in parquet if record.reason is None] == [2498, 2499]


def test_what_is_no_row_has_a_reason_and_blank_lines_are_none(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n[1]\n{"a"\n"\xff"\n{"a": "\xe2\x80\xa8"}\r\n')
    found = list(read_records([str(tmp_path / "a.jsonl")]))
    assert [(record.row, record.reason) for record in found] == [
        (0, None), (1, "unparsable"), (2, "unparsable"), (3, "not UTF-8"), (4, None),
    ]  # fmt: skip
    assert found[4].values == {"a": "\u2028"}


def test_a_string_that_is_no_utf8_costs_its_row_and_uuids_are_values(tmp_path):
    names = pa.array([b"good", b"\xff", None], pa.binary()).view(pa.string())
    keys = [uuid.uuid4() for _ in range(3)]
    table = pa.table({"name": names, "key": pa.array([key.bytes for key in keys], pa.uuid())})
    pq.write_table(table, tmp_path / "a.parquet")
    found = list(read_records([str(tmp_path)]))
    assert [record.reason for record in found] == [None, "not UTF-8", None]
    assert [record.values["key"] for record in found] == keys


def test_rows_in_a_bucket_are_read(s3_bucket):
    Folder(f"{s3_bucket}/data").write("a.jsonl.gz", gzip.compress(LINES))
    assert [record.values for record in read_records([f"{s3_bucket}/data/*.gz"])] == ROWS


def test_damaged_files_and_wrong_conditions_are_refused(folder):
    (folder / "d.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(UnreadableFile, match=r"d.parquet can't be read"):
        list(read_records([str(folder / "d.parquet")]))
    with pytest.raises(ValueError, match="can't be used"):
        list(read_records([str(folder / "a.jsonl")], where="n >"))
    with pytest.raises(FileNotFoundError, match="nothing at"):
        list(read_records(["/nowhere/x.jsonl"]))


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_the_columns_of_a_path_are_values_and_can_be_asked_for(tmp_path, suffix):
    for lang in ("en", "de"):
        path = tmp_path / f"lang={lang}" / f"a.{suffix}"
        path.parent.mkdir()
        rows = [{"text": lang}]
        if suffix == "jsonl":
            path.write_text(json.dumps(rows[0]) + "\n")
        else:
            pq.write_table(pa.Table.from_pylist(rows), path)
    found = list(read_records([str(tmp_path)], where="lang = 'en'"))
    assert [(record.values, record.reason) for record in found] == [
        ({"text": "de", "lang": "de"}, "filtered"),
        ({"text": "en", "lang": "en"}, None),
    ]


def test_a_condition_on_a_key_that_no_row_has_is_refused(folder):
    with pytest.raises(KeyError, match=r"has a key .*m.*; their keys are .* the condition must say"):
        list(read_records([f"{folder}/[abce]*"], where="m > 3"))
