import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.corpus import Corpus, Known, UnreadableFile, load, plan_shards, read_shard, save
from raypipe.corpus import plan as plan_module
from raypipe.corpus.files import Files
from raypipe.corpus.sources import Ignored, SourceFile
from raypipe.storage.folder import Folder
from tests.corpus.reading import read_all

N = 30
"""Rows in each file of the fixture."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all formats, some without rows, one that is broken."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = [{"text": f"text {i}", "id": str(i)} for i in range(N)]
    lines = "".join(json.dumps(row) + "\n\n" for row in rows).encode()
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=7)
    (folder / "b.jsonl").write_bytes(lines)
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(lines))
    (folder / "d.parquet").write_bytes(b"broken")
    (folder / "e.jsonl").write_bytes(b"")
    (folder / "f.json.zst").write_bytes(zstandard.compress(lines))
    pq.write_table(pa.Table.from_pylist(rows), folder / "g.parquet", row_group_size=7)
    (folder / "notes.txt").write_bytes(b"")
    return folder


def watch_opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened = []
    real = Files.open

    def watched(self: Files, uri: str):
        opened.append(uri.rpartition("/")[2])
        return real(self, uri)

    monkeypatch.setattr(Files, "open", watched)
    return opened


def test_a_plan_counts_its_files_and_its_shards_are_in_corpus_order(folder: Path):
    plan = plan_shards(Corpus((str(folder),)), shard_bytes=200, part_rows=10)
    assert (plan.n_files, plan.ignored) == (7, 1)
    assert plan.n_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert [shard.key for shard in plan] == sorted(shard.key for shard in plan)
    cuts = Counter((shard.path, shard.cut) for shard in plan)
    assert cuts["c.jsonl.zst", "part"] == 1
    assert cuts["b.jsonl", "bytes"] > 3
    assert cuts["a.parquet", "rows"] > 2
    assert len({shard.key for shard in plan}) == len(plan)


def test_the_fingerprint_of_a_listing_is_that_of_the_file_when_it_is_read(folder: Path):
    shards = [s for s in plan_shards(Corpus((str(folder),)), shard_bytes=10**6, part_rows=1) if s.cut != "part"]
    assert sum(read_shard(Corpus((str(folder),)), shard).num_rows for shard in shards if shard.broken is None) == 3 * N


def test_a_broken_file_is_a_shard_that_cannot_be_read_and_isn_t_kept_as_known(folder: Path):
    plan = plan_shards(Corpus((str(folder),)), shard_bytes=200, part_rows=10)
    (broken,) = [shard for shard in plan if shard.path == "d.parquet"]
    assert "d.parquet can't be read" in (broken.broken or "")
    assert "d.parquet" not in plan.known.files
    with pytest.raises(UnreadableFile, match=r"d\.parquet can't be read"):
        read_shard(Corpus((str(folder),)), broken)


@given(st.integers(1, 5 * N + 5), st.sampled_from([60, 300, 10**6]), st.sampled_from([1, 7, N, 1000]))
@settings(max_examples=40)
def test_a_limit_gives_the_first_rows_in_corpus_order(folder: Path, limit: int, shard_bytes: int, part_rows: int):
    def ids(corpus: Corpus) -> list[tuple[str, str]]:
        rows = read_all(corpus, shard_bytes=shard_bytes, part_rows=part_rows)
        return [(row["path"], row["id"]) for row in rows if "error" not in row]

    corpus = Corpus((str(folder),), id_column="id")
    assert ids(replace(corpus, limit=limit)) == ids(corpus)[:limit]


def test_a_limit_opens_no_file_behind_it_and_counts_no_last_one(folder: Path, monkeypatch: pytest.MonkeyPatch):
    opened = watch_opened(monkeypatch)
    corpus = Corpus((f"{folder}/[ac]*",), limit=N + 5)
    settings = plan_module._Planner(corpus, 10**6, 10, Known()).settings
    plan = plan_shards(corpus, shard_bytes=10**6, part_rows=10, known=Known(settings))
    assert [(shard.path, shard.max_rows) for shard in plan] == [("a.parquet", None), ("c.jsonl.zst", 5)]
    assert opened == ["a.parquet"]


def test_rows_counted_for_a_limit_are_known_afterwards(folder: Path, monkeypatch: pytest.MonkeyPatch):
    corpus = Corpus((f"{folder}/[bcf]*",), limit=2 * N + 5)
    plan = plan_shards(corpus, shard_bytes=10**6, part_rows=10)
    assert [shard.n_rows for shard in plan] == [N, N, None]
    opened = watch_opened(monkeypatch)
    again = plan_shards(corpus, shard_bytes=10**6, part_rows=10, known=plan.known)
    assert again.shards == plan.shards
    assert opened == []


def test_known_files_are_not_opened_and_the_plan_is_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    corpus = Corpus((str(folder),))
    plan = plan_shards(corpus, shard_bytes=200, part_rows=10)
    save(plan.known, Folder(str(tmp_path)), "inputs.arrow")
    known = load(Folder(str(tmp_path)), "inputs.arrow")
    assert known == plan.known
    opened = watch_opened(monkeypatch)
    again = plan_shards(corpus, shard_bytes=200, part_rows=10, known=known)
    assert opened == ["d.parquet"]  # broken, and perhaps not any more
    assert again.shards == plan.shards
    plan_shards(replace(corpus, where="length(text) > 1"), shard_bytes=200, part_rows=10, known=known)
    assert set(opened) >= {"a.parquet", "d.parquet", "g.parquet"}  # the columns that matter have changed


def test_only_a_rewritten_file_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a", "b"):
        pq.write_table(pa.table({"text": ["x"]}), tmp_path / f"{name}.parquet")
    corpus = Corpus((str(tmp_path),))
    before = plan_shards(corpus, shard_bytes=200, part_rows=10)
    pq.write_table(pa.table({"text": ["x", "y"]}), tmp_path / "b.parquet")
    opened = watch_opened(monkeypatch)
    after = plan_shards(corpus, shard_bytes=200, part_rows=10, known=before.known)
    assert opened == ["b.parquet"]
    assert after.shards[0] == before.shards[0]
    assert after.shards[1].key != before.shards[1].key


def test_files_of_other_formats_are_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for name in ("a.jsonl", "b.csv", "part-00000"):
        (tmp_path / name).write_bytes(b'{"text": "a"}\n')
    for _ in range(2):
        plan_shards(Corpus((str(tmp_path),)), shard_bytes=200, part_rows=10)
    said = [record.message for record in caplog.records if str(tmp_path) in record.message]
    assert len(said) == 1
    assert f"left out of {tmp_path}: 2 files of other formats (b.csv, part-00000)" in said[0]
    assert "known are .parquet" in said[0]


def test_nothing_is_known_from_a_missing_or_damaged_cache(tmp_path: Path):
    folder = Folder(str(tmp_path))
    assert load(folder, "inputs.arrow") == Known()
    folder.write("inputs.arrow", b"ARROW1\0\0 cut off")
    assert load(folder, "inputs.arrow") == Known()
    save(Known(), folder, "inputs.arrow")
    assert load(folder, "inputs.arrow") == Known()


@pytest.mark.slow
def test_a_resume_over_100_000_known_files_opens_none_and_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = [SourceFile(f"part/{i:06d}.parquet", f"s3://b/{i}", f"{i}-1", 10**8, None) for i in range(100_000)]
    monkeypatch.setattr(plan_module, "find_files", lambda sources: (list(files), Ignored()))
    monkeypatch.setattr(pafs, "S3FileSystem", lambda **_: pytest.fail("a file system was opened"))
    corpus = Corpus(("s3://b",))
    cuts = tuple((i * 10_000, (i + 1) * 10_000, 10_000) for i in range(2))
    name = plan_module._Planner(corpus, 10**8, 10, Known()).settings
    save(Known(name, {f.path: (f.fingerprint, cuts) for f in files}), Folder(str(tmp_path)), "inputs.arrow")
    started = time.process_time()
    plan = plan_shards(corpus, shard_bytes=10**8, part_rows=10, known=load(Folder(str(tmp_path)), "inputs.arrow"))
    assert time.process_time() - started < 20
    assert sum(shard.n_rows or 0 for shard in plan) == 2 * 10**9
    assert (tmp_path / "inputs.arrow").stat().st_size < 10 * 2**20


@pytest.mark.parametrize("setting", ["shard_bytes", "part_rows"])
def test_a_size_below_one_is_refused(folder: Path, setting: str):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1, got 0"):
        plan_shards(Corpus((str(folder),)), **{"shard_bytes": 1, "part_rows": 1, setting: 0})
