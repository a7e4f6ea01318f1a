import gzip
import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe import columns
from raypipe.corpus import Corpus, Shard, UnreadableFile, plan_shards, read_shard, read_stream
from raypipe.corpus import read as read_module
from raypipe.corpus.rows import judge, reasons_of, source_table, text_hash
from tests.corpus.reading import read_all


def stream(tmp_path: Path, n_rows: int, **options: int) -> tuple[Corpus, Shard]:
    lines = "".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(n_rows))
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    corpus = Corpus((str(tmp_path),), **options)
    return corpus, plan_shards(corpus, shard_bytes=1, part_rows=10).shards[0]


@pytest.mark.parametrize("n_rows", [0, 1, 9, 10, 11, 20, 35])
def test_a_stream_is_read_in_parts_and_only_the_last_says_so(tmp_path: Path, n_rows: int):
    corpus, shard = stream(tmp_path, n_rows)
    parts = list(read_stream(corpus, shard, part_rows=10))
    n_parts = max(1, math.ceil(n_rows / 10))
    assert [last for _, last, _ in parts] == [False] * (n_parts - 1) + [True]
    assert [(part.start, part.stop) for part, _, _ in parts] == [
        (i, min(i + 10, n_rows)) for i in range(0, n_parts * 10, 10)
    ]
    assert [part.n_rows for part, _, _ in parts] == [table.num_rows for _, _, table in parts]
    ids = [name for _, _, table in parts for name in table["id"].to_pylist()]
    assert ids == [f"x.jsonl.gz:{i}" for i in range(n_rows)]
    assert [part.key for part, _, _ in parts] == sorted(part.key for part, _, _ in parts)
    assert parts[0][0].key == shard.key


def test_parts_that_are_done_are_neither_parsed_nor_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    corpus, shard = stream(tmp_path, 35)
    parsed = []
    real = read_module.lines_table

    def watched(corpus: Corpus, part: Shard, *args: object, **options: object):
        parsed.append(part.start)
        return real(corpus, part, *args, **options)

    monkeypatch.setattr(read_module, "lines_table", watched)
    parts = list(read_stream(corpus, shard, part_rows=10, done=frozenset({0, 20})))
    assert parsed == [10, 30]
    assert [(part.start, last, table["text"][0].as_py()) for part, last, table in parts] == [
        (10, False, "text 10"),
        (30, True, "text 30"),
    ]


@pytest.mark.parametrize("limit", [1, 10, 15, 20, 35, 40])
def test_a_limit_ends_a_stream_early(tmp_path: Path, limit: int):
    corpus, shard = stream(tmp_path, 35, limit=limit)
    parts = list(read_stream(corpus, shard, part_rows=10))
    assert sum(table.num_rows for _, _, table in parts) == min(limit, 35)
    assert [last for _, last, _ in parts].index(True) == len(parts) - 1


def test_a_break_right_behind_a_part_is_a_part_of_its_own(tmp_path: Path):
    _, shard = stream(tmp_path, 10)
    whole = (tmp_path / "x.jsonl.gz").read_bytes()
    (tmp_path / "x.jsonl.gz").write_bytes(whole[:-4])
    corpus = Corpus((str(tmp_path),))
    shard = plan_shards(corpus, shard_bytes=1, part_rows=10).shards[0]
    (_, first_is_last, first), (part, last, table) = read_stream(corpus, shard, part_rows=10)
    assert (first_is_last, first.num_rows, first["reason"].null_count) == (False, 10, 10)
    assert (part.start, last) == (10, True)
    n_bytes = len(gzip.decompress(whole))
    assert table.to_pylist() == [
        {"id": "x.jsonl.gz:10", "text_hash": None, "domain": "all", "text": None, "n_bytes": 0}
        | {"reason": f"stream broken at byte {n_bytes}"}
    ]


def test_the_two_ways_of_reading_refuse_each_other_s_shards(tmp_path: Path):
    corpus, shard = stream(tmp_path, 1)
    with pytest.raises(ValueError, match="read it with read_stream"):
        read_shard(corpus, shard)
    rows = Shard("x", "file:///x", "rows", 0, 1, "")
    with pytest.raises(ValueError, match="read it with read_shard"):
        next(read_stream(corpus, rows, part_rows=1))


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_a_file_that_is_gone_or_may_not_be_opened_is_unreadable(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"")
    shard = Shard(name, f"file://{tmp_path}/nothing", "part" if name.endswith("gz") else "bytes", 0, 5, "5-5")
    with pytest.raises(UnreadableFile, match="rewritten or removed"):
        list(read_stream(Corpus(("x",)), shard, part_rows=1)) if shard.cut == "part" else read_shard(
            Corpus(("x",)), shard
        )


def test_the_rows_do_not_depend_on_where_lines_are_cut(tmp_path: Path):
    lines = [json.dumps({"text": "x" * (i * 37 % 100), "n": i if i % 3 else str(i)}) for i in range(300)]
    (tmp_path / "x.jsonl").write_text("\r\n".join(lines))
    corpus = Corpus((str(tmp_path),), where="n % 2 = 0")
    whole = read_all(corpus, shard_bytes=10**9)
    assert len(whole) == 300
    for shard_bytes in (1000, 333):
        assert read_all(corpus, shard_bytes=shard_bytes) == whole
    first = (tmp_path / "x.jsonl").read_bytes().index(b'{"text": "x')
    assert {row["id"] for row in whole} >= {"x.jsonl:@0", f"x.jsonl:@{first}"}


def domains(tmp_path: Path, *sources: str, **options: str) -> list[str]:
    rows = [{"text": "a", "d": "web", "m": {"d": 3}}, {"text": "b", "d": None, "m": None}]
    (tmp_path / "lang=en").mkdir(exist_ok=True)
    (tmp_path / "lang=en" / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_all(Corpus(sources or (str(tmp_path),), **options))
    as_lines = [row["domain"] for row in found]
    (tmp_path / "lang=en" / "x.jsonl").unlink()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "lang=en" / "x.parquet")
    as_parquet = [row["domain"] for row in read_all(Corpus(sources or (str(tmp_path),), **options))]
    (tmp_path / "lang=en" / "x.parquet").unlink()
    assert as_lines == as_parquet
    return as_lines


def test_the_domain_is_the_name_then_the_column_then_the_path_then_all(tmp_path: Path):
    by_path = "lang=(..)"
    assert domains(tmp_path) == ["all", "all"]
    assert domains(tmp_path, domain_from_path=by_path) == ["en", "en"]
    assert domains(tmp_path, domain_from_path="lang=(xx)") == ["unknown", "unknown"]
    assert domains(tmp_path, domain_from_path=by_path, domain_column="d") == ["web", "unknown"]
    assert domains(tmp_path, domain_column="m.d") == ["3", "unknown"]
    assert domains(tmp_path, f"my code={tmp_path}", domain_column="d") == ["my code", "my code"]


def test_a_named_source_needs_no_domain_column(tmp_path: Path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "x.parquet")
    assert read_all(Corpus((f"web={tmp_path}",), domain_column="d"))[0]["domain"] == "web"


def test_a_table_has_the_schema_and_a_row_with_a_reason_has_no_text():
    table = source_table(
        ids=["1", "2", "3"], domains=["d"] * 3, texts=["é".encode(), None, b"x"], reasons=[None, "empty", "filtered"]
    )
    assert table.schema.equals(columns.SOURCE)
    assert table["text"].to_pylist() == ["é", None, None]
    assert table["n_bytes"].to_pylist() == [2, 0, 0]
    assert table["text_hash"].to_pylist() == [text_hash("é".encode()), None, None]


def test_the_hash_of_a_text_is_what_it_was():
    assert text_hash(b"") == int.from_bytes(bytes.fromhex("786a02f742015903"), "little", signed=True)  # RFC 7693
    assert text_hash(b"abc") == int.from_bytes(bytes.fromhex("ba80a53f981c4d0d"), "little", signed=True)


def test_judge_says_why_a_value_is_no_text():
    assert judge("é") == judge("é".encode()) == ("é".encode(), None)
    reasons = [judge(value)[1] for value in (None, 3, [], "", "\n\u3000", b" ", b"\xff", "\ud800")]
    assert reasons == ["null text", "not a string", "not a string", "empty", "empty", "empty", "not UTF-8", "not UTF-8"]


TEXTS = st.one_of(
    st.none(), st.binary(max_size=6), st.text(max_size=6).map(str.encode), st.sampled_from([b"\x1c", b" x"])
)


@given(texts=st.lists(TEXTS, max_size=12), cut=st.integers(0, 12))
def test_a_whole_column_is_judged_and_hashed_as_its_rows_are(texts: list[bytes | None], cut: int):
    column, texts = pa.array(texts, pa.large_binary())[cut:], texts[cut:]
    reasons = reasons_of(column)
    assert reasons == [judge(text)[1] for text in texts]
    kept = [text if reason is None else None for text, reason in zip(texts, reasons, strict=True)]
    table = source_table(ids=[""] * len(texts), domains=[""] * len(texts), texts=column, reasons=reasons)
    assert table["text"].to_pylist() == [text and text.decode() for text in kept]
    assert table["text_hash"].to_pylist() == [None if text is None else text_hash(text) for text in kept]
    assert table["n_bytes"].to_pylist() == [len(text or b"") for text in kept]
