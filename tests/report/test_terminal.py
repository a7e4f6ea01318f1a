import json

import pytest
from rich.console import Console

from raypipe.report import terminal, write_report
from raypipe.storage import Folder


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
    assert row(shown, "scores")[:6] == [
        "scores",
        "finished",
        "4",
        "600",
        str(counts["scored"]),
        str(600 - counts["scored"]),
    ]
    assert "Report: none yet" in shown
    write_report(made.folder)
    assert f"Report: {made.folder.uri}/report.html" in printed(terminal.status(made.folder), width=300)


def test_a_live_run_shows_progress_and_what_is_left(make):
    made = make(hostile=False, parts=("progress",))
    run = json.loads(made.folder.read("run.json")) | {"status": "running"}
    made.folder.write("run.json", json.dumps(run).encode())
    shown = printed(terminal.status(made.folder))
    assert not terminal.is_finished(made.folder)
    assert row(shown, "scores")[:5] == ["scores", "running", "30", "of", "30"]
    assert "117,000" in shown
    assert row(shown, "selection")[:3] == ["selection", "not", "begun"]
    assert "8.0 s" in shown


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
    assert width < 80 or "<b>d</b>[U+202E]␛[1m" in shown  # folded where there is no room


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        terminal.status(Folder(str(tmp_path)))
