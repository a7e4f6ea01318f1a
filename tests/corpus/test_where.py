import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.corpus import Corpus, plan_shards
from raypipe.corpus.where import Condition
from tests.corpus.reading import read_all

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string()), ("m", pa.struct([("s", pa.float64())]))])


def check(where: str) -> Condition:
    condition = Condition(where)
    condition.check_functions()
    condition.check_schema(SCHEMA, path="x.parquet")
    return condition


@pytest.mark.parametrize(
    ("where", "columns"),
    [
        ("n > 1 AND m.s < 2", ["n", "m"]),
        ("N > 1", ["n"]),
        ("text LIKE 'x%' -- a comment", ["text"]),
        ("regexp_matches(lower(text), '^x') OR length(text) > 3", ["text"]),
        ("CASE WHEN n IN (1, 2) THEN m['s'] IS NULL ELSE n BETWEEN 3 AND 4 END", ["n", "m"]),
        ("list_filter([1, 2], lambda x: x > n) = []", ["n"]),
        ("1 = 1", []),
    ],
)
def test_its_columns_are_found(where: str, columns: list[str]):
    assert check(where).columns_of(SCHEMA) == columns


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "it is empty"),
        ("n >", "syntax error"),
        ("(n = 1", "syntax error"),
        ("n = 1; DROP TABLE rows", "syntax error"),
        ("n = 1) UNION SELECT (true", "must be one expression"),
        ("n = 1, n = 2", "must be one expression"),
        ("lenght(text) > 1", "lenght does not exist"),
        ("lang = 'en'", r'"lang" not found.*x\.parquet has the columns'),
        ("m.x > 1", 'Could not find key "x"'),
        ("text > 3", "VARCHAR"),
        ("'x'", "Could not convert string 'x' to BOOL"),
        ("n > (SELECT avg(n) FROM rows)", "a subquery doesn't fit"),
        ("EXISTS(FROM read_csv('/etc/passwd'))", "a subquery doesn't fit"),
        ("row_number() OVER () < 3", "a window doesn't fit"),
        ("count(*) > 1", "count_star doesn't give"),
        ("max(n) > 1", "max doesn't give"),
        ("RANDOM() < 0.5", "random doesn't give a row the same answer"),
        ("text > now()", "now doesn't give"),
        ("CURRENT_DATE > '2020-01-01'", "current_date doesn't give"),
        ("n > ?", "a parameter doesn't fit"),
        ("COLUMNS(*) > 1", "a star doesn't fit"),
        ("#1 > 1", "a column by number doesn't fit"),
        ("n > 1 AND N < 3", "write each column in one way"),
        ("read_text('/etc/passwd') = ''", "read_text"),
    ],
)
def test_what_is_no_condition_on_a_row_is_refused(where: str, message: str):
    with pytest.raises(ValueError, match=message):
        check(where)


def test_a_misspelt_function_is_found_before_json_is_read(tmp_path: Path):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(ValueError, match="lenght does not exist"):
        plan_shards(Corpus((str(tmp_path),), where="lenght(text) > 1"), shard_bytes=9, part_rows=9)


def reasons(where: str, *records: dict) -> list[str | None]:
    found = Condition(where).of_records(list(records))
    return ["failed" if reason and reason.startswith("condition failed: ") else reason for reason in found]


def test_nested_keys_and_null_count_as_sql_has_them():
    found = reasons(
        "metadata.score > 3 AND lang = 'en'",
        {"metadata": {"score": 5, "other": [1, "mixed"]}, "lang": "en"},
        {"metadata": {"score": 3.5}, "lang": "en"},
        {"metadata": {"score": 3}, "lang": "en"},
        {"metadata": {"score": None}, "lang": "en"},
        {"metadata": {}, "lang": "en"},
        {"metadata": None, "lang": "en"},
        {"lang": "en"},
        {"metadata": {"score": 5}},
    )
    assert found == [None, None, *["filtered"] * 6]


def test_a_row_whose_types_do_not_fit_fails_alone():
    found = reasons(
        "metadata.score > 3",
        {"metadata": {"score": 5}},
        {"metadata": {"score": "high"}},
        {"metadata": {"score": [1]}},
        {"metadata": {"score": [1, "x"]}},
        {"metadata": "none"},
        {"metadata": {"score": 10**30}},
        {"metadata": {"score": 1}},
        {"metadata": {"score": 7}},
    )
    assert found == [None, "failed", "failed", "failed", "failed", "failed", "filtered", None]


def test_nan_is_null_in_conditions_of_either_format(tmp_path: Path):
    nan = float("nan")
    rows = [{"text": "t", "s": s, "m": {"s": s}, "l": [s, 1.0]} for s in (5.0, nan, 1.0, None)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    small = pa.table({"text": ["t"] * 4, "s": pa.array([5, nan, 1, None], pa.float16())})
    (tmp_path / "half").mkdir()
    pq.write_table(small, tmp_path / "half" / "x.parquet")

    def kept(where: str, file: str) -> list[bool]:
        return [row["reason"] is None for row in read_all(Corpus((str(tmp_path / file),), where=where))]

    for file in ("x.jsonl", "x.parquet"):
        assert kept("s >= 3", file) == [True, False, False, False]
        assert kept("m.s >= 3 OR m.s IS NULL", file) == [True, True, False, True]
        assert kept("list_max(l) >= 3", file) == [True, False, False, False]
        assert kept("isnan(s)", file) == [False] * 4
    assert kept("s >= 3", "half/x.parquet") == [True, False, False, False]
    assert kept("s IS NULL", "half/x.parquet") == [False, True, False, True]


@pytest.mark.parametrize("depth", [200, 600, 900])
def test_values_nested_deeply_do_not_end_the_shard(depth: int):
    found = reasons("a IS NULL OR b = 1", {"a": json.loads("[" * depth + "]" * depth), "b": 1}, {"b": 2})
    assert found[0] in (None, "failed")
    assert found[1] is None


def test_strings_that_are_no_utf8_fail_alone():
    assert reasons("lang = 'en'", {"lang": "en"}, {"lang": "\ud800"}, {"lang": "de"}) == [None, "failed", "filtered"]


def test_is_null_sees_the_value_itself():
    found = reasons("m IS NULL OR m.a IS NOT NULL", {"m": None}, {}, {"m": {"a": 1}}, {"m": {"b": 1}})
    assert found == [None, None, None, "filtered"]


def test_rows_with_a_reason_keep_it_and_keep_id_and_domain(tmp_path: Path):
    rows = [{"text": "", "n": 1}, {"text": "a", "n": 1}, {"text": "b", "n": 2}, {"text": 3, "n": 2}]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps({**row, "id": row["n"], "d": "web"}) + "\n" for row in rows))
    found = read_all(Corpus((str(tmp_path),), where="n = 2", id_column="id", domain_column="d"))
    assert [row["reason"] for row in found] == ["empty", "filtered", None, "not a string"]
    assert [(row["id"], row["domain"]) for row in found] == [("1", "web"), ("1", "web"), ("2", "web"), ("2", "web")]


def test_it_reaches_no_file_and_no_setting():
    assert reasons("n = 1 AND read_blob IS NULL", {"n": 1}) == [None]
    with pytest.raises(ValueError, match="getenv"):
        check("getenv('HOME') = 'x'")
    with pytest.raises(ValueError, match="current_setting doesn't give"):
        check("current_setting('threads') = '1'")
