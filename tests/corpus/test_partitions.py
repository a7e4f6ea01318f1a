import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.corpus.partitions import as_number, partitions
from tests.corpus.reading import read_all

FOLDERS = ("lang=en/year=2024", "lang=de%20at/year=2023", "lang=__HIVE_DEFAULT_PARTITION__/year=07", "other")


@pytest.fixture(params=["parquet", "jsonl", "json", "jsonl.gz"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    import gzip

    for name in FOLDERS[:3]:
        rows = [{"text": f"{name}", "id": "own", "n": n, "lang": "of the file"} for n in range(2)]
        path = tmp_path / name / f"part-0.{request.param}"
        path.parent.mkdir(parents=True)
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        if request.param == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            content = json.dumps(rows).encode() if request.param == "json" else content
            path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return tmp_path


def kept(folder: Path, where: str) -> set[str]:
    rows = read_all(Corpus((str(folder),), where=where), shard_bytes=10)
    assert all(row["reason"] in (None, "filtered") for row in rows)
    return {row["text"] for row in rows if row["reason"] is None}


EN, DE, NULL = FOLDERS[:3]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("lang = 'en'", {EN}),
        ("lang = 'de at'", {DE}),
        ("lang IS NULL", {NULL}),
        ("LANG <> 'en'", {DE}),
        ("year >= 2023", {EN, DE}),
        ("year = 7", {NULL}),
        ("year = '2024'", {EN}),
        ("year LIKE '0%'", {NULL}),
        ("year = 'unknown'", set()),
        ("lang = 'en' AND n = 1", {EN}),
        ("year > 2023 OR n > 5", {EN}),
        ("length(text) > 0 AND year + n > 2024", {EN}),
    ],
)
def test_a_condition_reads_the_columns_of_the_path(folder: Path, where: str, expected: set[str]):
    assert kept(folder, where) == expected


def test_ids_and_domains_are_the_path_s_as_they_are_spelt(folder: Path):
    rows = read_all(Corpus((str(folder),), id_column="year", domain_column="lang"))
    assert {(row["id"].partition(":")[0], row["domain"]) for row in rows} == {
        ("2024", "en"),
        ("2023", "de at"),
        ("07", "unknown"),
    }
    assert {row["domain"] for row in read_all(Corpus((f"web={folder}",), domain_column="lang"))} == {"web"}


def test_a_glob_and_a_name_keep_the_columns_below_the_first_wildcard(folder: Path):
    rows = read_all(Corpus((f"{folder}/lang=*/*/*",), domain_column="lang"))
    assert {row["domain"] for row in rows} == {"en", "de at", "unknown"}
    rows = read_all(Corpus((f"x={folder}/**/*",), where="lang = 'en'"))
    assert {row["text"] for row in rows} == {EN, None}


def test_a_misspelt_one_is_refused_with_the_nearest(folder: Path):
    def said(**options: str) -> str:
        with pytest.raises((KeyError, ValueError)) as error:
            plan_shards(Corpus((str(folder),), **options), shard_bytes=10, part_rows=10)
        return str(error.value.args[0])

    assert "did you mean 'year'?" in said(domain_column="yaer")
    assert "did you mean 'year'?" in said(where="yaer > 3")


def test_folders_are_columns_and_a_file_is_none():
    assert dict(partitions("NAME/a=1/b%3D=x=y/=z/plain/c=2")) == {"a": "1", "b=": "x=y"}
    assert dict(partitions("d=/x.parquet")) == {"d": ""}
    assert dict(partitions("x.parquet")) == {}


def test_what_looks_like_a_number_is_one():
    found = [as_number(value) for value in ("7", "007", "-3", "1.5", "1e5", "", "x1", "\u0663", None, "9" * 30)]
    assert found == [7, 7, -3, 1.5, "1e5", "", "x1", "\u0663", None, "9" * 30]
