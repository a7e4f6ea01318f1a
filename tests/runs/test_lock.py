import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from raypipe.runs import lock as locks
from raypipe.runs.lock import LOCK, Lock, Locked, machine
from raypipe.storage.folder import Folder

NOON = 1_700_000_000.0


def owner(folder: Folder) -> dict:
    return json.loads(folder.read(LOCK))


def put_lock(folder: Folder, **changes: object) -> None:
    me = {"host": machine(), "pid": os.getpid(), "started": psutil.Process().create_time(), "token": "other"}
    folder.write(LOCK, json.dumps({**me, "time": time.time(), **changes}).encode().ljust(locks.SIZE))


@pytest.fixture(params=["file", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "file":
        return Folder(str(tmp_path))
    return Folder(f"{request.getfixturevalue('s3_bucket')}/run")


def test_a_second_driver_is_refused_while_the_first_lives(folder: Folder) -> None:
    with Lock(folder), pytest.raises(Locked, match=rf"is being written by process {os.getpid()} on .*another --output"):
        Lock(folder).__enter__()
    assert folder.files() == []  # released
    with Lock(folder):
        assert owner(folder)["pid"] == os.getpid()


def test_of_many_at_once_one_gets_it(folder: Folder) -> None:
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            with Lock(folder):
                outcomes.append("taken")
                wait_until(lambda: len(outcomes) >= 6)  # until all others have been told
        except Locked:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 5 + ["taken"]


def test_the_lock_of_a_dead_process_here_is_taken_over_at_once(folder: Folder) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    put_lock(folder, pid=dead.pid, started=1.0)
    with Lock(folder):
        assert owner(folder)["pid"] == os.getpid()
    put_lock(folder, started=1.0)  # our number, but another process
    with Lock(folder):
        assert owner(folder)["token"] != "other"


def test_a_dead_owner_elsewhere_is_waited_for_then_followed(folder: Folder) -> None:
    waited: list[float] = []
    put_lock(folder, host="elsewhere", time=NOON)
    with pytest.raises(Locked, match="on elsewhere, last heard of 59 s ago"):
        Lock(folder, clock=lambda: NOON + locks.DEAD_AFTER_S - 1, wait=waited.append).__enter__()
    assert waited == []
    with Lock(folder, clock=lambda: NOON + locks.DEAD_AFTER_S + 1, wait=waited.append):
        assert owner(folder)["pid"] == os.getpid()
    assert waited == [1.5 * locks.HEARTBEAT_S]


def test_an_owner_whose_clock_is_behind_is_not_robbed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    late = NOON - 10 * locks.DEAD_AFTER_S
    put_lock(folder, host="elsewhere", time=late)
    monkeypatch.setattr(locks, "_is_alive", alive_the_second_time())
    meanwhile = lambda _: put_lock(folder, host="elsewhere", time=late + 1)  # noqa: E731
    with pytest.raises(Locked):  # what was seen had changed before it could be swapped
        Lock(folder, clock=lambda: NOON, wait=meanwhile).__enter__()
    assert owner(folder)["host"] == "elsewhere"


def alive_the_second_time():
    answers = iter([False])
    return lambda *_: next(answers, True)


def test_a_heartbeat_renews_the_time_and_a_lost_lock_is_noticed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.1)
    with Lock(folder) as lock:
        first = owner(folder)["time"]
        wait_until(lambda: owner(folder)["time"] > first)
        assert not lock.is_lost
        wait_until(lambda: lock.is_lost or put_lock(folder))  # somebody takes it over
    assert owner(folder)["token"] == "other"  # it isn't ours to delete


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
