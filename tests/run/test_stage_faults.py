"""Faults injected into real Ray processes: nothing lost, nothing twice, no hang."""

import gc
import gzip
import json
import os
import re
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import ray
from ray._private.internal_api import node_stats

from raypipe.corpus import Corpus
from raypipe.run import ledger as run_ledger
from raypipe.run.commit import recount
from raypipe.run.event_loop import StageFailed
from raypipe.run.patience import Patience
from raypipe.run.stage import Stopped, is_complete
from raypipe.runs.card import identity_hash
from raypipe.storage.folder import Folder

from .fake_op import CRASH, CRASH_READER, HANG, LOSE_DEVICE, RAISE, TOO_LARGE, FakeOp
from .stages import (
    IDENTITY,
    QUICK,
    assert_scored,
    fault,
    make_stage,
    output,
    stamps,
    texts_of,
    write_corpus,
    write_lines,
)

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("kill-prepare", "kill-setup")),
        "kill-forward",
        "kill-write",
    ],
)
def test_a_process_killed_in_any_phase_costs_no_row(tmp_path: Path, kind: str) -> None:
    texts = write_corpus(tmp_path / "corpus")
    once = fault(tmp_path, kind)
    card = make_stage(tmp_path, FakeOp(once=once))()
    assert os.listdir(once) == []  # it did happen
    assert_scored(tmp_path, texts)
    assert is_complete(card)
    assert card["counts"]["rows"] == card["counts"]["scored"] == len(texts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "stop-forward",
        pytest.param("stop-write", marks=pytest.mark.slow),
        pytest.param("stop-prepare", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_process_is_killed_and_replaced(tmp_path: Path, kind: str) -> None:
    texts = write_corpus(tmp_path / "corpus")
    once = fault(tmp_path, kind)
    card = make_stage(tmp_path, FakeOp(once=once), patience=Patience(batch_s=5.0, setup_s=10.0))()
    assert os.listdir(once) == []
    assert_scored(tmp_path, texts)
    assert len(card["running"]["watchdog_kills"]) == 1
    assert "was silent for" in card["running"]["watchdog_kills"][0]


def test_a_document_that_raises_is_one_skipped_row(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=1)
    texts[7] = f"a {RAISE} b"
    write_lines(tmp_path / "corpus/part-0.jsonl", texts)
    card = make_stage(tmp_path)()
    assert_scored(tmp_path, texts, skipped={texts[7]: "failed: RuntimeError: this document can't be scored"})
    assert is_complete(card)


@pytest.mark.parametrize(
    "kinds",
    [
        [CRASH],
        pytest.param([CRASH, CRASH_READER, HANG], marks=pytest.mark.slow),
        pytest.param([LOSE_DEVICE], marks=pytest.mark.slow),
    ],
)
def test_documents_that_end_their_process_are_skipped_and_their_neighbours_scored(
    tmp_path: Path, kinds: list[str]
) -> None:
    texts = texts_of(24)
    for kind, row in zip(kinds, (3, 13, 20), strict=False):
        texts[row] = f"x {kind}"
    write_lines(tmp_path / "corpus/a.jsonl", texts)
    card = make_stage(tmp_path, patience=Patience(batch_s=4.0, setup_s=60.0))()
    reasons = {
        CRASH: "crashed the scorer (signal 11)",
        CRASH_READER: "crashed the tokenizer (signal 11)",
        HANG: "hung the scorer",
        LOSE_DEVICE: "broke the device's driver or memory (it had to be opened anew)",
    }
    skipped = {f"x {kind}": reasons[kind] for kind in kinds}
    assert_scored(tmp_path, texts, skipped=skipped)
    assert is_complete(card)
    assert card["counts"]["skipped"] == dict.fromkeys(sorted(skipped.values()), 1)


def test_a_batch_too_large_is_halved_for_its_shard_only_and_said_in_its_file(tmp_path: Path) -> None:
    texts = texts_of(30)
    texts[2] = f"a {TOO_LARGE}"
    write_lines(tmp_path / "corpus/a.jsonl", texts)
    card = make_stage(tmp_path)()
    assert_scored(tmp_path, texts)
    halved = [
        json.loads(pq.read_metadata(path).metadata[b"raypipe.counts"])["halved"]
        for path in sorted((tmp_path / "run/scores").glob("*.parquet"))
    ]
    assert halved == [2] + [0] * (len(halved) - 1)  # four rows in two, then the two of that text
    assert card["counts"]["halved"] == 2


@pytest.mark.slow
def test_the_third_shard_with_batches_too_large_stops_the_job_and_names_the_budget(tmp_path: Path) -> None:
    texts = [f"{text} {TOO_LARGE}" if row % 5 == 0 else text for row, text in enumerate(texts_of(40))]
    write_lines(tmp_path / "corpus/a.jsonl", texts)
    with pytest.raises(StageFailed, match=r"3 shards didn't fit into memory; start a run with --batch-rows 2"):
        make_stage(tmp_path)()


def test_a_broken_op_stops_the_job_instead_of_skipping_every_row(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus/a.jsonl", [f"{text} {RAISE}" for text in texts_of(40)])
    stage = make_stage(tmp_path, sizes=replace(make_stage(tmp_path).sizes, shard_bytes=4000))
    with pytest.raises(StageFailed, match=r"broken: 11 documents of one shard failed, the last: failed: RuntimeError"):
        stage()


@pytest.mark.slow
def test_an_op_that_cannot_be_set_up_stops_the_job_with_its_own_message(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", n_files=1)
    with pytest.raises(StageFailed, match=r"scores: ValueError: model must be readable, got nonsense"):
        make_stage(tmp_path, FakeOp(fails_in_setup=True))()


@pytest.mark.slow
def test_a_full_storage_stops_the_job_and_the_same_command_goes_on(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus")
    once = fault(tmp_path, "full")
    with pytest.raises(StageFailed, match=r"storage full: .*No space left on device\. Make room"):
        make_stage(tmp_path, FakeOp(once=once))()
    os.unlink(Path(once) / "full")
    assert is_complete(make_stage(tmp_path, FakeOp(once=once))())
    assert_scored(tmp_path, texts)


@pytest.mark.slow
def test_a_storage_that_is_down_sets_shards_aside_and_retry_takes_them_up(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=1)
    once = fault(tmp_path, "down")
    card = make_stage(tmp_path, FakeOp(once=once))()
    assert not is_complete(card)
    assert set(card["set_aside"].values()) == {"storage: 503 Service Unavailable"}
    os.unlink(Path(once) / "down")
    again = make_stage(tmp_path)()
    assert again["set_aside"] == card["set_aside"]  # not without being asked
    assert is_complete(make_stage(tmp_path, retry_failed=True)())
    assert_scored(tmp_path, texts)


@pytest.mark.slow
def test_an_input_that_goes_away_is_set_aside_and_taken_up_when_it_is_back(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus")
    stage, gone = make_stage(tmp_path), tmp_path / "corpus/part-1.jsonl"
    plan = stage.plan()
    shutil.move(gone, tmp_path / "away")
    stage.plan = lambda: plan  # type: ignore[method-assign]  # planned before it went
    card = stage()
    assert card["status"] == "incomplete"
    assert all(key.startswith("part-1") and "rewritten or removed" in why for key, why in card["set_aside"].items())
    shutil.move(tmp_path / "away", gone)
    assert not is_complete(make_stage(tmp_path)())
    assert is_complete(make_stage(tmp_path, retry_failed=True)())
    assert_scored(tmp_path, texts)


@pytest.mark.slow
def test_shards_larger_than_the_object_store_in_sum_are_spilled_and_scored(tmp_path: Path) -> None:
    texts = [f"{row} " + "long " * 400_000 for row in range(110)]  # 220 MB of text, twice that once prepared
    for number in range(11):
        write_lines(tmp_path / f"corpus/part-{number:02d}.jsonl", texts[10 * number : 10 * number + 10])
    before = spilled_bytes()
    ballast = [ray.put(np.full(20 << 20, number, np.uint8)) for number in range(6)]  # of a store of 150 MiB
    make_stage(tmp_path, sizes=replace(make_stage(tmp_path).sizes, shard_bytes=8 << 20))()
    assert spilled_bytes() - before > 20 << 20  # it did happen
    assert_scored(tmp_path, texts)
    assert [int(ray.get(held)[-1]) for held in ballast] == list(range(6))


def spilled_bytes() -> int:
    """What this machine's object store has written to disk so far."""
    node = ray.nodes()[0]
    stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
    return int(stats.store_stats.spilled_bytes_total)


def test_a_request_to_stop_commits_what_is_in_flight_and_the_same_command_goes_on(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=4)
    stopping = threading.Event()
    stop_when_some_are_done(tmp_path, stopping)
    with pytest.raises(Stopped, match=r"stopped with \d+ of 12 shards done; go on with the same command"):
        make_stage(tmp_path, FakeOp(batch_s=0.5), stopping=stopping)()
    before = stamps(tmp_path)
    assert 0 < len(before) < 12
    assert is_complete(make_stage(tmp_path)())
    assert_scored(tmp_path, texts)
    assert before.items() <= stamps(tmp_path).items()  # what was done was left alone


@pytest.mark.slow
def test_a_worker_that_hangs_cannot_hold_up_a_stop_beyond_the_grace(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=2)
    stopping = threading.Event()
    threading.Timer(15.0, stopping.set).start()
    with pytest.raises(Stopped):  # patience alone would wait for an hour
        make_stage(
            tmp_path, FakeOp(batch_s=3600), stopping=stopping, grace_s=3.0, patience=Patience(3600, 5, 3600, 3600)
        )()
    assert is_complete(make_stage(tmp_path)())
    assert_scored(tmp_path, texts)


@pytest.mark.slow
def test_a_stage_on_which_nothing_moves_ends_with_advice(tmp_path: Path) -> None:
    from raypipe.contracts.op import Pool

    write_corpus(tmp_path / "corpus", n_files=1)
    stage = make_stage(tmp_path, patience=replace(QUICK, nothing_s=5.0))
    stage.wanted.__dict__["pool"] = Pool(1, 1, num_cpus=64.0)  # more than any machine has
    with pytest.raises(StageFailed, match=r"no worker and no reader has done anything for \d+ s"):
        stage()


def test_a_driver_that_lost_the_lock_stops_and_writes_no_card(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", n_files=4)
    lost = threading.Event()
    stop_when_some_are_done(tmp_path, lost)
    with pytest.raises(StageFailed, match="another driver has taken over"):
        make_stage(tmp_path, FakeOp(batch_s=0.5), is_owner=lambda: not lost.is_set())()
    assert json.loads((tmp_path / "run/scores/card.json").read_text())["running"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["", CRASH])
def test_parts_of_a_stream_are_gone_on_with_and_a_poisonous_part_is_finished(tmp_path: Path, mark: str) -> None:
    texts = texts_of(23)
    texts[11] += mark
    (tmp_path / "corpus").mkdir()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    (tmp_path / "corpus/a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    corpus = Corpus((str(tmp_path / "corpus"),), limit=22)
    skipped = {texts[11]: "crashed the scorer (signal 11)"} if mark else {}
    assert is_complete(make_stage(tmp_path, corpus=corpus)())
    assert_scored(tmp_path, texts[:22], skipped=skipped)
    names = sorted(stamps(tmp_path))
    assert [bool(re.search(r"\.last\.", name)) for name in names] == [False] * 4 + [True]
    os.unlink(tmp_path / "run/scores" / names[3])
    before = stamps(tmp_path)
    assert is_complete(make_stage(tmp_path, corpus=corpus)())
    assert before.items() <= stamps(tmp_path).items()
    assert_scored(tmp_path, texts[:22], skipped=skipped)


@pytest.mark.slow
def test_the_first_rows_of_a_parquet_corpus_are_accounted_for(tmp_path: Path) -> None:
    import pyarrow as pa

    texts = texts_of(50)
    (tmp_path / "corpus").mkdir()
    pq.write_table(pa.table({"text": texts}), tmp_path / "corpus/a.parquet", row_group_size=10)
    card = make_stage(tmp_path, corpus=Corpus((str(tmp_path / "corpus"),), limit=23))()
    assert card["status"] == "finished"
    assert_scored(tmp_path, texts[:23])


@pytest.mark.slow
def test_a_corpus_without_a_row_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a.jsonl").write_text("\n\n")
    with pytest.raises(StageFailed, match="the corpus has no row at all"):
        make_stage(tmp_path)()
    assert card_of(tmp_path)["status"] == "failed"


def test_a_stage_in_which_nothing_came_through_is_a_failure_with_the_commonest_reason(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/a.jsonl").write_text('{"text": ""}\n{no json}\n{none}\n')
    with pytest.raises(StageFailed, match="none of 3 rows came through, 2 of them with: unparsable"):
        make_stage(tmp_path)()
    assert card_of(tmp_path)["status"] == "failed"
    assert card_of(tmp_path)["counts"]["skipped"] == {"unparsable": 2, "empty": 1}


def test_failures_are_counted_over_the_stage_however_small_its_shards(tmp_path: Path) -> None:
    texts = [text + (RAISE if row % 2 else "") for row, text in enumerate(texts_of(40))]
    for number in range(20):  # one failure in each of 20 shards
        write_lines(tmp_path / f"corpus/part-{number:02}.jsonl", texts[2 * number : 2 * number + 2])
    with pytest.raises(StageFailed, match=r"11 of \d+ documents failed, 11 of them with: failed: .*--restart scores"):
        make_stage(tmp_path)()
    assert card_of(tmp_path)["status"] == "failed"


def card_of(root: Path) -> dict:
    return json.loads((root / "run/scores/card.json").read_text())


def stop_when_some_are_done(root: Path, event: threading.Event) -> None:
    def watch() -> None:
        while len(list((root / "run/scores").glob("*.parquet"))) < 2:
            time.sleep(0.05)
        event.set()

    threading.Thread(target=watch, daemon=True).start()


@pytest.mark.slow
def test_totals_come_from_the_footers(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus")
    card = make_stage(tmp_path)()
    own = identity_hash(card["identity"])
    totals = recount(Folder(str(tmp_path / "run/scores")), stamps(tmp_path), identity=own)
    assert totals.as_json() == card["counts"]
    assert totals.rows == len(output(tmp_path)) == len(texts)
    assert card["identity"] == IDENTITY


@pytest.mark.slow
def test_a_file_that_another_writer_put_is_not_taken_for_the_stages_own(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    make_stage(tmp_path)()
    make_stage(tmp_path, stage="others", identity={**IDENTITY, "model": "another"})()
    ours, theirs = (sorted((tmp_path / "run" / name).glob("*.parquet")) for name in ("scores", "others"))
    shutil.copy(theirs[0], ours[0])  # as a writer puts it that lost its lock in a pause
    os.unlink(ours[1])
    with pytest.raises(ValueError, match=f"{re.escape(ours[0].name)} was made by other settings"):
        make_stage(tmp_path)()
    assert card_of(tmp_path)["status"] == "failed"
    os.unlink(ours[0])
    assert is_complete(make_stage(tmp_path)())


@pytest.mark.slow
def test_a_killed_ledger_ends_the_job_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "corpus", n_files=4)
    started = run_ledger.start_ledger

    def start() -> object:
        ledger = started()
        is_killed = threading.Event()
        stop_when_some_are_done(tmp_path, is_killed)
        threading.Thread(target=lambda: is_killed.wait(60) and ray.kill(ledger), daemon=True).start()
        return ledger

    monkeypatch.setattr(run_ledger, "start_ledger", start)
    with pytest.raises(StageFailed, match=r"keeps account .* The same command goes on") as said:
        make_stage(tmp_path, FakeOp(batch_s=0.3))()
    assert "DataContext" not in str(said.value)
    assert card_of(tmp_path)["status"] == "failed"
    monkeypatch.undo()
    del said  # its traceback holds the stream, and this the places of workers that the next stage needs
    gc.collect()
    assert is_complete(make_stage(tmp_path)())
