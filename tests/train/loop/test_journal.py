import json

import pytest

from raypipe.storage.folder import Folder
from raypipe.train.loop.journal import Journal, busy_s


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
