import json
from pathlib import Path

import pytest

from raypipe.run import progress
from raypipe.run.progress import Reporter, StageRates
from raypipe.storage.folder import Folder

COUNTS = {"rows": 10, "scored": 9, "skipped": {"empty": 1}, "tokens": 100, "tokens_total": 120, "cost": 100,
          "truncated": 0, "halved": 0, "padding": 25}  # fmt: skip


def done(at: float, *, tokens: int = 100) -> dict:
    return {
        "counts": {**COUNTS, "tokens": tokens, "cost": tokens},
        "busy_s": 1.5,
        "waited_s": 1.0,
        "commit_s": 0.5,
        "at": at,
    }


def test_rates_are_over_the_time_that_workers_worked() -> None:
    meter = StageRates("scores", 10)
    assert (meter.cost_per_s, meter.eta_s, meter.begun_at) == (0.0, None, None)
    meter.add(done(100.0, tokens=1000))
    assert meter.cost_per_s == 1000 / 2
    meter.add(done(101.0, tokens=80))  # beside the first for half of its time
    assert meter.cost_per_s == 1080 / 3
    meter.add(done(104.0))
    meter.add(done(110.0))
    assert meter.cost_per_s == 1280 / 7  # nobody worked from 101 to 102, from 104 to 108
    assert meter.begun_at == 98.0
    assert meter.eta_s == 6 * 10 / 3
    assert meter.waited_s == 3.0  # the first wait is start-up
    assert meter.totals.padding_fraction == 100 / (100 + 1280)
    assert (meter.seen().done, meter.seen().eta_s) == (4, meter.eta_s)


def test_two_shards_side_by_side_are_as_fast_as_their_workers_together() -> None:
    meter = StageRates("scores", 2)
    for at in (100.0, 100.25):
        meter.add(done(at, tokens=911))
    assert meter.cost_per_s == 2 * 911 / 2.25


def test_files_say_how_far_a_stage_is_and_close_with_it(tmp_path: Path) -> None:
    meter = StageRates("scores", 2)
    with Reporter(Folder(str(tmp_path)), meter) as reporter:
        for at in (100.0, 110.0):
            meter.add(done(at))
            reporter.update()
    now = json.loads((tmp_path / "progress/now.json").read_text())
    assert (now["stage"], now["shards_done"], now["shards"], now["rows"], now["tokens"]) == ("scores", 2, 2, 20, 200)
    assert {"time", "tokens_per_s", "padding_fraction", "eta_s", "workers"} <= now.keys()
    (segment,) = (tmp_path / "progress").glob("*.jsonl")
    assert json.loads(segment.read_text().splitlines()[-1]) == now


def test_each_minute_is_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "NOW_EVERY_S", -1.0)
    monkeypatch.setattr(progress, "SEGMENT_S", -1.0)
    with Reporter(Folder(str(tmp_path)), StageRates("scores", 2)) as reporter:
        for _ in range(3):
            reporter.update()
    assert len(list((tmp_path / "progress").glob("*.jsonl"))) == 4


def test_a_storage_that_takes_no_progress_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "progress").write_text("a file where the folder should be")
    with Reporter(Folder(str(tmp_path)), StageRates("scores", 2)) as reporter:
        reporter.update()
    assert (tmp_path / "progress").is_file()


def test_a_rate_is_told_in_the_unit_of_the_cost() -> None:
    meter = StageRates("labels", 2, unit="rows")
    meter.add({**done(100.0), "counts": {**COUNTS, "tokens": 0, "padding": 0, "cost": 8}})
    line = meter.as_json()
    assert (line["unit"], line["cost"], line["rows_per_s"]) == ("rows", 8, 4.0)
    assert "tokens_per_s" not in line  # a stage that reads no token has no such rate, not one of 0
    assert meter.seen().detail == "10 documents, 4 rows/s"


def test_files_of_before_cost_their_tokens() -> None:
    meter = StageRates("scores", 2)
    meter.add({**done(100.0), "counts": {name: value for name, value in COUNTS.items() if name != "cost"}})
    assert meter.totals.cost == 100
