import json

import pytest

from raypipe.storage.folder import Folder
from raypipe.train.loop.journal import Journal, boards, busy_s


def test_busy_seconds_are_those_of_all_steps_and_workers(tmp_path):
    folder = Folder(str(tmp_path))
    for steps in ((1, 2), (3,)):
        journal = Journal(folder)
        for step in steps:
            journal.add({"step": step, "step_s": 1.5 * step})
        journal.close_segment()
    assert busy_s(folder, n_workers=2) == pytest.approx(2 * 1.5 * 6)
    Journal(folder).rewind(3)
    assert busy_s(folder, n_workers=1) == pytest.approx(4.5)
    assert [json.loads(line)["step"] for line in folder.read("00000001.jsonl").splitlines()] == [1, 2]


def test_nothing_written_is_no_work(tmp_path):
    assert busy_s(Folder(str(tmp_path / "metrics")), n_workers=3) == 0


def test_after_a_kill_tensorboard_shows_each_step_once(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = Folder(str(tmp_path))
    killed = Journal(folder / "metrics", boards(folder / "tensorboard"))
    killed.rewind(1)
    for step in (1, 2, 3, 4):
        killed.add({"step": step, "loss": 10.0 + step})
    killed._board.close()  # it had written steps 3 and 4 behind the last checkpoint, of step 2
    again = Journal(folder / "metrics", boards(folder / "tensorboard"))
    again.rewind(3)
    for step in (3, 4, 5):
        again.add({"step": step, "loss": 20.0 + step})
    again._board.close()
    shown = events.EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    points = [(point.step, point.value) for point in shown.Scalars("loss")]
    assert points == [(1, 11), (2, 12), (3, 23), (4, 24), (5, 25)]
