import resource
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.corpus import Shard
from raypipe.run.commit import file_name
from raypipe.run.inputs import Sizes
from raypipe.run.resume import compare, planned_key
from raypipe.storage.folder import Folder

from .stages import make_stage


def shards_of(path: str, n: int, *, fingerprint: str = "10-20", size: int = 100) -> list[Shard]:
    return [Shard(path, f"file:///c/{path}", "bytes", 100 * i, 100 * i + 100, fingerprint, size=size) for i in range(n)]


def stream(path: str = "s.gz", fingerprint: str = "1-1") -> Shard:
    return Shard(path, f"file:///c/{path}", "part", 0, -1, fingerprint, size=5)


def parts(of: Shard, n: int, *, is_whole: bool) -> list[str]:
    return [file_name(replace(of, start=5 * i), is_last=is_whole and i == n - 1) for i in range(n)]


def test_what_is_committed_is_finished_the_rest_is_pending() -> None:
    shards = shards_of("a.jsonl", 4)
    names = [file_name(shard, is_last=True) for shard in shards]
    state = compare(shards, names[:2])
    assert (state.pending, state.finished, state.stale) == (shards[2:], set(names[:2]), [])


def test_files_of_a_rewritten_input_of_another_cut_and_of_a_lost_input_are_stale() -> None:
    now = shards_of("a.jsonl", 2)
    others = shards_of("a.jsonl", 2, fingerprint="10-21") + shards_of("a.jsonl", 1, size=200) + shards_of("b.jsonl", 1)
    state = compare(now, [file_name(shard, is_last=True) for shard in others])
    assert state.pending == now
    assert len(state.stale) == 4


def test_a_stream_is_finished_when_its_last_part_and_all_before_are_there() -> None:
    of = stream()
    whole = parts(of, 3, is_whole=True)
    assert compare([of], whole).pending == []
    assert compare([of], parts(of, 1, is_whole=True)).pending == []  # a stream of one part
    for names, starts in ((whole[:2], [0, 5]), (whole[1:], [5, 10]), ([whole[0], whole[2]], [0, 10]), ([], [])):
        state = compare([of], names)
        assert state.pending == [of]
        assert state.parts_done == {of.key: starts}
        assert state.finished == set(names)
        assert state.stale == []


def test_parts_of_another_stream_do_not_count() -> None:
    of, rewritten = stream(), stream(fingerprint="1-2")
    state = compare([of], parts(rewritten, 2, is_whole=True))
    assert (state.pending, len(state.stale)) == ([of], 2)


def test_a_foreign_parquet_file_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"must hold its own files only, got 'mine\.parquet'; move it elsewhere"):
        compare(shards_of("a.jsonl", 1), ["mine.parquet"])


def test_a_part_and_its_stream_have_one_planned_key() -> None:
    assert planned_key(replace(stream(), start=15, stop=20, n_rows=5)) == stream().key
    assert planned_key(shards_of("a.jsonl", 2)[1]) == shards_of("a.jsonl", 2)[1].key


@pytest.mark.slow
def test_a_billion_rows_are_planned_from_listings_alone() -> None:
    """250,000 shards of 4,000 rows; half of them done, a tenth stale."""
    tracemalloc.start()
    begun = time.monotonic()
    shards = [shard for file in range(2500) for shard in shards_of(f"crawl/2026/part-{file:05d}.jsonl", 100)]
    names = [file_name(shard, is_last=True) for shard in shards[::2]]
    names += [file_name(replace(shard, fingerprint="9-9"), is_last=True) for shard in shards[::10]]
    planned = tracemalloc.get_traced_memory()[0]
    listed_s = time.monotonic() - begun
    tracemalloc.reset_peak()
    begun = time.monotonic()
    state = compare(shards, names)
    seconds, peak = time.monotonic() - begun, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"250,000 shards: compared in {seconds:.1f} s with tracing (made in {listed_s:.1f} s), "
        f"plan and listing {planned / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB, "
        f"process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB"
    )
    assert (len(state.pending), len(state.finished), len(state.stale)) == (125_000, 125_000, 25_000)
    assert peak < 150e6


@pytest.mark.slow
def test_a_stage_of_a_billion_rows_is_planned_without_opening_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through the stage, on disk: 2,500 inputs of 100 shards, half of them committed."""
    (tmp_path / "corpus").mkdir()
    for number in range(2500):
        with (tmp_path / f"corpus/part-{number:05d}.jsonl").open("wb") as file:
            file.truncate(100 << 20)  # holes: they take no room
    stage = make_stage(tmp_path, sizes=Sizes(shard_bytes=1 << 20, part_rows=1000))
    monkeypatch.setattr("raypipe.corpus.plan.check_keys", lambda *_: None)  # there is nothing in them
    shards = stage.plan()[0].shards
    for shard in shards[::2]:
        (tmp_path / "run/scores" / file_name(shard, is_last=True)).touch()
    monkeypatch.setattr(Folder, "open", lambda *_: pytest.fail("an output was opened"))
    del shards
    tracemalloc.start()
    begun = time.monotonic()
    plan, state = stage.plan()
    seconds = time.monotonic() - begun
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(plan)} shards planned in {seconds:.1f} s with tracing, {kept / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB")
    assert (len(plan), len(state.pending), len(state.finished)) == (250_000, 125_000, 125_000)
    assert kept < 150e6
