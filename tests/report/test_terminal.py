import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from raypipe.report import terminal, write_report
from raypipe.runs.lock import LOCK, machine
from raypipe.storage.folder import Folder


def printed(renderable, width=140) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def row(text: str, name: str) -> list[str]:
    return next(line for line in text.splitlines() if line.strip().startswith(name)).split()


def test_a_finished_run_shows_counts_and_where_the_report_is(make):
    made = make(hostile=False, n_rows=600)
    shown = printed(terminal.status(made.folder))
    counts = json.loads(made.folder.read("scores/card.json"))["counts"]
    scored, skipped = str(counts["scored"]), str(600 - counts["scored"])
    assert row(shown, "scores")[:5] == ["scores", "finished", "600", scored, skipped]
    assert "Control arms: longest, lowest-loss, random" in shown
    assert "Report: none yet" in shown
    write_report(made.folder)
    assert f"Report: {made.folder.uri}/report.html" in printed(terminal.status(made.folder), width=300)


def test_a_live_run_shows_progress_and_what_is_left(make):
    made = make(hostile=False, parts=("progress",))
    run = json.loads(made.folder.read("run.json")) | {"status": "running"}
    made.folder.write("run.json", json.dumps(run).encode())
    shown = printed(terminal.status(made.folder, at=datetime(2026, 11, 23, 11, 23, tzinfo=UTC)))
    assert not terminal.is_finished(made.folder)
    assert row(shown, "scores")[:3] == ["scores", "running", "30/30"]
    assert "117,000" in shown
    assert row(shown, "selection")[:3] == ["selection", "not", "begun"]
    assert "8.0 s left" in shown


@pytest.mark.parametrize(
    ("card", "run", "minute"),
    [
        ("incomplete", "running", 23),
        ("incomplete", "incomplete", 23),
        ("failed", "failed", 23),
        ("running", "running", 42),
    ],
)
def test_a_run_that_goes_on_no_more_has_nothing_left(make, card, run, minute):
    made = make(hostile=False, parts=("scores", "progress"))
    for name, status in (("run.json", run), ("scores/card.json", card)):
        content = json.loads(made.folder.read(name)) | {"status": status}
        made.folder.write(name, json.dumps(content).encode())
    shown = printed(terminal.status(made.folder, at=datetime(2026, 11, 23, 11, minute, tzinfo=UTC)))
    assert "30/30" in shown
    assert " left" not in shown


@pytest.mark.parametrize(
    ("minute", "said"), [(22, "Last progress 30.0 s ago."), (42, "20 min 30 s ago; if its process")]
)
def test_a_run_that_fell_silent_is_noticed(make, minute, said):
    made = make(hostile=False, parts=("progress",))
    run = json.loads(made.folder.read("run.json")) | {"status": "running"}
    made.folder.write("run.json", json.dumps(run).encode())
    at = datetime(2026, 11, 23, 11, minute, 60 - 1, tzinfo=UTC) + timedelta(seconds=1)
    assert said in printed(terminal.status(made.folder, at=at))


@pytest.mark.parametrize("status", ["finished", "incomplete", "failed", "stopped"])
@pytest.mark.parametrize("name", ["run.json", "train/card.json"])
def test_watching_ends_with_the_run(tmp_path, name, status):
    folder = Folder(str(tmp_path))
    for said, is_finished in (("running", False), (status, True)):
        folder.write(name, json.dumps({"status": said}).encode())
        assert terminal.is_finished(folder) == is_finished


def test_set_aside_shards_and_warnings_are_shown(make):
    made = make(hostile=False)
    card = json.loads(made.folder.read("scores/card.json"))
    card |= {"status": "incomplete", "set_aside": {"part-9": "died [red]thrice[/]\x1b[31m"}, "warnings": ["a warning"]}
    made.folder.write("scores/card.json", json.dumps(card).encode())
    shown = printed(terminal.status(made.folder))
    assert "shard part-9 was set aside: died [red]thrice[/]␛[31m" in shown
    assert "scores: a warning" in shown


def test_the_summary_adds_up(make):
    made = make(hostile=False, n_rows=600)
    shown = printed(terminal.summary(made.folder))
    all_rows = row(shown, "all")
    news = row(shown, "news")
    assert all_rows[1] == "600"
    assert 0.1 < float(news[3]) < 0.2  # median influence, 0.13 as made
    assert "600 rows = " in shown
    assert "✓ Every check passed" in shown


def test_the_summary_repeats_warnings(make):
    assert "▲ Influence follows loss." in printed(
        terminal.summary(make(hostile=False, n_rows=600, loss_slope=5).folder)
    )


@pytest.mark.parametrize("width", [60, 80, 200])
def test_hostile_names_are_harmless_at_any_width(made, width):
    shown = printed(terminal.status(made.folder), width) + printed(terminal.summary(made.folder), width)
    assert not {"\x1b", "\x07", "\x00", "\u202e", "\x9b"} & set(shown)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert width < 200 or "<b>d</b>[U+202E]␛[1m" in shown  # folded where there is no room


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        terminal.status(Folder(str(tmp_path)))


def test_why_a_run_has_failed_is_said_once(make):
    made = make(hostile=False, parts=("scores",))
    for name, ended in (("run.json", {"status": "failed"}), ("scores/card.json", {"status": "failed"})):
        content = json.loads(made.folder.read(name)) | ended | {"why": "scores: 11 of 20 documents [b]failed"}
        made.folder.write(name, json.dumps(content).encode())
    shown = printed(terminal.status(made.folder))
    assert shown.count("11 of 20 documents [b]failed") == 1
    assert terminal.is_finished(made.folder)


def test_watching_a_run_whose_driver_was_killed_ends(make):
    made = make(hostile=False, parts=("scores",))
    made.folder.write("run.json", json.dumps({"status": "running"}).encode())
    assert not terminal.is_finished(made.folder)
    dead = {"host": machine(), "pid": 1, "started": 1.0, "time": 0.0, "token": "x"}
    made.folder.write(LOCK, json.dumps(dead).encode())
    assert terminal.is_finished(made.folder)
