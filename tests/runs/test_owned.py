import json
import pickle
import time
from pathlib import Path

import pytest

from raypipe.runs import lock as locks
from raypipe.runs.lock import LOCK, Lock, LockLost, Owner, is_abandoned
from raypipe.runs.owned import OwnedFolder
from raypipe.storage.folder import Folder


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


def rob(run: Folder) -> None:
    """What another machine does to an owner that it takes for dead."""
    run.write(LOCK, json.dumps({**json.loads(run.read(LOCK)), "token": "other", "host": "elsewhere"}).encode())


@pytest.mark.parametrize("act", ["write", "create", "swap", "delete"])
def test_nothing_is_written_once_the_lock_is_anothers(run: Folder, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    monkeypatch.setattr(locks, "CONFIRM_S", 0.0)
    with Lock(run) as lock:
        stage = OwnedFolder(run.uri, lock.owner) / "scores"
        stage.write("a", b"1")
        stage = pickle.loads(pickle.dumps(stage))  # noqa: S301 (as a worker has it)
        rob(run)
        attempts = {
            "write": lambda: stage.write("a", b"2"),
            "create": lambda: stage.create("b", b"2"),
            "swap": lambda: stage.swap("a", b"2", seen=b"1"),
            "delete": lambda: stage.delete("a"),
        }
        with pytest.raises(LockLost):
            attempts[act]()
    assert [(entry.path, run.read(f"scores/{entry.path}")) for entry in (run / "scores").files()] == [("a", b"1")]


def test_a_sleep_is_noticed_by_the_clock(run: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(locks, "_seconds", lambda: clock[0])
    with Lock(run) as lock:
        lock.owner.check()
        rob(run)
        clock[0] += locks.CONFIRM_S - 1
        lock.owner.check()  # a look is believed for a while: every file of a stage is written through it
        clock[0] += 2
        with pytest.raises(LockLost):
            lock.owner.check()
    assert locks.CONFIRM_S < locks.DEAD_AFTER_S / 2


def test_a_lock_that_is_away_for_a_moment_is_not_lost(run: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lock(run) as lock:
        content = run.read(LOCK)
        run.delete(LOCK)
        monkeypatch.setattr(time, "sleep", lambda _: run.write(LOCK, content))
        Owner(run, lock.owner.token).check()


def test_a_lock_whose_driver_is_dead_is_abandoned(run: Folder) -> None:
    assert not is_abandoned(run)
    with Lock(run):
        assert not is_abandoned(run)
        run.write(LOCK, json.dumps({**json.loads(run.read(LOCK)), "started": 1.0}).encode())
        assert is_abandoned(run)
