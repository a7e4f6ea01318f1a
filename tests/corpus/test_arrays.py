import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raypipe.corpus import Corpus, load, plan_shards, save
from raypipe.corpus import arrays as module
from raypipe.corpus.arrays import array_elements, is_array
from raypipe.storage.folder import Folder
from tests.corpus.reading import read_all
from tests.corpus.test_plan import watch_opened

TEXTS = st.text(st.sampled_from('a"\\\\[]{},:\n \u00e9'), max_size=12)
VALUES = st.recursive(TEXTS | st.integers() | st.none(), lambda below: st.lists(below, max_size=2), max_leaves=4)
RECORDS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=6)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PIECE", 1)


@given(RECORDS, st.sampled_from([None, 0, 2]), st.booleans(), st.lists(st.integers(0, 300)))
@example([{"a": "x\\"}], None, False, [8, 9])
def test_any_array_in_any_pieces_gives_its_elements(
    records: list[dict], indent: int | None, is_ascii: bool, cuts: list[int]
):
    content = json.dumps(records, indent=indent, ensure_ascii=is_ascii).encode()
    bounds = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    lines = list(array_elements((content[a:b] for a, b in pairwise(bounds)), max_bytes=10_000))
    assert [json.loads(line) for _, line in lines] == records
    assert all(content[begin:].lstrip().startswith(line) for begin, line in lines)


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"', b",", b"\\", b"x", b" "]), max_size=30))
def test_no_bytes_crash_it_or_are_cut_differently_in_pieces(signs: list[bytes]):
    whole = list(array_elements([b"".join(signs)], max_bytes=9))
    assert list(array_elements(signs, max_bytes=9)) == whole


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'[{"a":1}', True),
        (b"\xef\xbb\xbf \n[\n {", True),
        (b"[]", True),
        (b"[]\n{}", False),
        (b'["text"]', False),
        (b'[{"a":1}]\n[{"a":2}]\n', False),
        (b'[{"a":1},\n{"a":2}]\n', True),
        (b'[{"a":1}]\n', True),
        (b'{"a":[1]}', False),
        (b"[2020-01-01] a log", False),
        (b"[", False),
        (b"", False),
    ],
)
def test_an_array_is_told_from_lines_by_its_head(head: bytes, expected: bool):
    assert is_array(head) is expected


def rows_of(tmp_path: Path, **options: int) -> list[tuple[str, str]]:
    return [(row["id"], row["text"]) for row in read_all(Corpus((str(tmp_path),), **options), part_rows=7)]


def test_a_plain_array_is_one_stream_in_parts_and_known_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    records = [{"text": f"text {i}"} for i in range(50)]
    (tmp_path / "x.json").write_text(json.dumps(records))
    (tmp_path / "y.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = Corpus((str(tmp_path),))
    plan = plan_shards(corpus, shard_bytes=100, part_rows=7)
    assert [(shard.path, shard.size) for shard in plan if shard.cut == "part"] == [("x.json", 7)]
    assert len([shard for shard in plan if shard.cut == "bytes"]) > 5
    found = rows_of(tmp_path)
    assert found[:50] == [(f"x.json:{i}", f"text {i}") for i in range(50)]
    assert [text for _, text in found[50:]] == [f"text {i}" for i in range(50)]
    assert rows_of(tmp_path, limit=20) == found[:20]
    opened = watch_opened(monkeypatch)
    save(plan.known, Folder(str(tmp_path / "_run")), "inputs")
    known = load(Folder(str(tmp_path / "_run")), "inputs")
    assert plan_shards(corpus, shard_bytes=100, part_rows=7, known=known).shards == plan.shards
    other = plan_shards(corpus, shard_bytes=300, part_rows=9, known=known)
    assert [shard.cut for shard in other][:2] == ["part", "bytes"]
    assert opened == []


@pytest.mark.slow
def test_a_large_array_is_never_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    record = json.dumps({"text": 'a "quoted" line\n' * 50})
    with open(tmp_path / "x.json", "w") as file:
        file.write("[" + ",\n".join([record] * 24_000) + "]")
    size = (tmp_path / "x.json").stat().st_size
    corpus = Corpus((str(tmp_path),))
    (shard,) = plan_shards(corpus, shard_bytes=10**6, part_rows=1000)
    from raypipe.corpus import read_stream

    tracemalloc.start()
    n_rows = sum(table.num_rows for _, _, table in read_stream(corpus, shard, part_rows=1000))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (n_rows, size > 20_000_000) == (24_000, True)
    assert peak_bytes < 15_000_000
