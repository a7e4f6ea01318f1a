import io
import json
import time
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raypipe.corpus import Corpus, Shard
from raypipe.corpus.lines import dig, lines_in, lines_table, parse, split_lines
from raypipe.corpus.where import Condition

PIECES = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b"\r", b"", b" ", b"\xef\xbb\xbf", b'{"text":"a"}', b'"x\ry"', b"\xff\0", b"long " * 9]
    )
)
CONTENT = st.one_of(PIECES.map(b"".join), st.binary())
MAX = 40


def expected(content: bytes) -> list[bytes | str]:
    """The lines by the plainest program that we can think of."""
    lines: list[bytes | str] = []
    for i, line in enumerate(content.split(b"\n")):
        if len(line) > MAX:
            lines.append(f"line over {MAX} bytes")
        elif (kept := line.removeprefix(b"\xef\xbb\xbf") if i == 0 else line).strip():
            lines.append(kept)
    return lines


@given(CONTENT, st.lists(st.integers(0, 200)))
@example(b"a\nb", [2])
@example(b"\xef\xbb\xbfa", [1])
def test_any_pieces_give_the_same_lines(content: bytes, cuts: list[int]):
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[a:b] for a, b in pairwise(bounds)]
    assert [line for _, line in split_lines(pieces, max_bytes=MAX)] == expected(content)


def test_a_line_in_many_pieces_takes_time_in_proportion() -> None:
    def cost(n_pieces: int) -> float:
        started = time.process_time()
        ((_, line),) = split_lines((b"x" for _ in range(n_pieces)), max_bytes=n_pieces)
        assert len(line) == n_pieces
        return time.process_time() - started

    cost(1000)
    assert cost(160_000) < 32 * min(cost(10_000) for _ in range(3))  # 16 times as many; squared it would be 256


@given(CONTENT, st.lists(st.integers(0, 200)))
@example(b"a\n\nb\n", [2, 3])
@example(b"x" * 100 + b"\nb", [10, 50, 101])
def test_any_cuts_give_each_line_once_and_in_order(content: bytes, cuts: list[int]):
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    file = pa.PythonFile(io.BytesIO(content), mode="r")
    ranges = pairwise(bounds)
    lines = [line for start, stop in ranges for line in lines_in(file, start, stop, max_bytes=MAX)]
    assert [line for _, line in lines] == expected(content)
    assert all(isinstance(line, str) or line in content[offset:] for offset, line in lines)
    assert [offset for offset, _ in lines] == sorted({offset for offset, _ in lines})


@given(CONTENT)
@settings(max_examples=300)
def test_no_bytes_crash_the_reader_and_each_line_is_a_row(content: bytes):
    corpus = Corpus(("x",), id_column="id", domain_column="m.d")
    shard = Shard("x", "file:///x", "bytes", 0, len(content), "")
    table = lines_table(corpus, shard, split_lines([content], max_bytes=MAX), condition=None)
    assert table.num_rows == len(expected(content))
    table.validate(full=True)
    assert [row["text"] is None for row in table.to_pylist()] == [
        row["reason"] is not None for row in table.to_pylist()
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**30), 10**30) | st.text(st.characters()),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["text", "id", "m", "d", "s"]), below),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from(["text", "id", "m"]), JSON), max_size=5))
@settings(max_examples=50)
def test_no_json_crashes_the_reader_or_a_condition(records: list[dict]):
    corpus = Corpus(("x",), id_column="id", domain_column="m.d")
    shard = Shard("x", "file:///x", "bytes", 0, 1, "")
    lines = [(i, json.dumps(record).encode()) for i, record in enumerate(records)]
    condition = Condition("m.s > 3 or id = 'a' or m is null")
    together = lines_table(corpus, shard, lines, condition=condition).to_pylist()
    alone = [lines_table(corpus, shard, [line], condition=condition).to_pylist()[0] for line in lines]
    assert together == alone


def test_dig_finds_the_key_itself_before_the_nested_one():
    assert dig({"a.b": 1, "a": {"b": 2}}, "a.b") == 1
    assert dig({"a": {"b": {"c": 2}}}, "a.b.c") == 2
    assert dig({"a": [1]}, "a.b") is None


def test_parse_says_why_a_line_is_no_object():
    assert parse(b'{"text": 1}') == ({"text": 1}, None)
    assert parse("line over 9 bytes") == ({}, "line over 9 bytes")
    assert parse(b"\xff") == ({}, "not UTF-8")
    assert parse(b"[]") == ({}, "unparsable")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_of_70_mb_is_one_row_and_is_not_held(tmp_path: Path, suffix: str):
    import gzip
    import tracemalloc

    import zstandard

    from tests.corpus.reading import read_all

    content = b'{"text":"a"}\n{"text":"' + b"x" * 70_000_000 + b'"}\n{"text":"b"}\n'
    written = {"": bytes, ".gz": lambda raw: gzip.compress(raw, 1), ".zst": zstandard.compress}[suffix](content)
    (tmp_path / f"x.jsonl{suffix}").write_bytes(written)
    del content, written
    tracemalloc.start()
    rows = read_all(Corpus((str(tmp_path),), max_line_bytes=2**20), shard_bytes=10**9)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["text"] for row in rows] == ["a", None, "b"]
    assert rows[1]["reason"] == "line over 1048576 bytes"
    assert peak_bytes < 40_000_000
