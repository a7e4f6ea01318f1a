import time

import pytest

from raypipe.run import display
from raypipe.run.display import Display, Seen, left
from raypipe.run.progress import Reporter, StageRates
from raypipe.run.trainer import _Followed
from raypipe.storage.folder import Folder


def wait_for(capsys, text: str) -> str:
    """What has been printed once that text is there."""
    shown, deadline = "", time.monotonic() + 20
    while text not in shown:
        assert time.monotonic() < deadline, f"{text!r} never came, only {shown!r}"
        time.sleep(0.005)
        shown += capsys.readouterr().err
    return shown


def test_without_a_terminal_lines_come_while_nothing_moves(capsys, monkeypatch):
    monkeypatch.setattr(display, "LINE_EVERY_S", 0.01)
    with Display("scores", 80, unit="shards", look=lambda: Seen(3, "40 documents", 125.4)):
        shown = wait_for(capsys, "\n")
    assert shown.startswith("scores: 3 of 80 shards, 40 documents, after 0:00:0")
    assert shown.splitlines()[0].endswith(", 0:02:05 to go")


def test_the_last_look_finds_the_end(capsys):
    seen = Seen(75, "loss 1.2")
    with Display("train", 80, unit="steps", look=lambda: seen):
        seen = Seen(80, "loss 1.1")
    assert "train: 80 of 80 steps, loss 1.1, after" in capsys.readouterr().err


def test_a_bar_says_what_is_left_and_ends_full(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    seen = Seen(75, "loss 1.2", 61.0)
    with Display("train", 80, unit="steps", look=lambda: seen) as shown:
        shown.show()
        (task,) = shown._bar.tasks
        assert task.fields["d"] == "loss 1.2, 0:01:01 to go"
        seen = Seen(80, "loss 1.1")
    assert shown._bar.tasks[0].completed == 80


def test_a_display_is_worth_no_job(capsys):
    def look() -> Seen:
        raise OSError("storage is away")

    with Display("train", 80, unit="steps", look=look):
        pass
    assert capsys.readouterr().err == ""


def test_what_is_left_is_said_where_it_is_known():
    assert [left(seconds) for seconds in (None, 0.0, 7.4, 7322.0)] == ["", "", ", 0:00:07 to go", ", 2:02:02 to go"]


def test_a_stage_that_waits_for_its_first_shard_says_so(tmp_path, capsys):
    with Reporter(Folder(str(tmp_path)), StageRates("scores", 2, workers=2)):
        pass
    assert "scores: 0 of 2 shards, 2 workers, none through its first shard yet" in capsys.readouterr().err


def test_a_training_is_followed_by_its_own_steps_only(tmp_path, monkeypatch):
    folder, clock = Folder(str(tmp_path)), [100.0]
    monkeypatch.setattr("raypipe.run.trainer.time.monotonic", lambda: clock[0])
    look = _Followed(folder, 80)
    assert look() == Seen(0, "no step yet")
    line = '{"step": %d, "loss": 1.25, "tokens_per_s": 4000.4}'
    for step, seconds, eta_s in ((43, 101.0, None), (43, 105.0, None), (53, 121.0, 27 * 20 / 10)):
        clock[0] = seconds
        folder.write("now.json", (line % step).encode())
        assert look() == Seen(step, "loss 1.250, 4,000 tokens/s", eta_s and pytest.approx(eta_s))
