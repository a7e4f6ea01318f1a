"""One writer to a run folder: a lock file with an owner and a heartbeat.

A process that was stopped for a while may find its lock taken over, and its heartbeat thread learns of it no sooner
than the one that writes. So whoever writes asks its `Owner` first, which looks at the lock file itself.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import psutil

from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
LOCK = "lock.json"
SIZE = 512
"""Bytes of every lock: an S3 reader asks for the size first, and the lock may be renewed before it gets the content."""
HEARTBEAT_S = 10.0
DEAD_AFTER_S = 60.0
"""An owner on another machine that hasn't renewed its lock for so long is taken for dead."""


CONFIRM_S = 5.0
"""For so long a look at the lock file is believed: far less than an owner may be silent before it is robbed."""


class Locked(RuntimeError):
    """Another driver works on this run folder."""


class LockLost(RuntimeError):
    """Another driver has taken over this run folder: this one must not write on."""


class Owner:
    """Whoever holds the lock of a run folder, as far as the lock file says so; can be sent to other processes."""

    def __init__(self, run: Folder, token: str) -> None:
        self.run, self.token = Folder(run.uri), token
        self.has_written = False
        """Whether anything of the run was put or deleted through this very object."""
        self._confirmed = float("-inf")

    def __reduce__(self) -> tuple[type["Owner"], tuple[Folder, str]]:
        return Owner, (self.run, self.token)

    def check(self, *, anew: bool = False) -> None:
        """Go on only if the lock is still ours, by a look at its file now or, if not `anew`, CONFIRM_S ago at most.

        Raises
        ------
        LockLost
            If it isn't.
        """
        now = _seconds()
        if not anew and now - self._confirmed < CONFIRM_S:
            return
        if not self.holds():
            raise LockLost(f"another driver has taken over {self.run.uri}; this one stops and writes nothing more.")
        self._confirmed = now

    def holds(self) -> bool:
        """Whether the lock file is ours; asks the storage."""
        for pause_s in (0.5, 0.0):  # somebody who tries to take it over moves it away for a moment, and gives it back
            try:
                return bool(json.loads(self.run.read(LOCK))["token"] == self.token)
            except FileNotFoundError:
                time.sleep(pause_s)
        return False


class Lock:
    """Held while a job writes to a run folder; a second driver is refused, a dead one's lock is taken over.

    `clock` gives seconds since 1970, `wait` lets some pass.
    """

    def __init__(
        self, run: Folder, *, clock: Callable[[], float] = time.time, wait: Callable[[float], None] = time.sleep
    ) -> None:
        self.run, self._clock, self._wait = run, clock, wait
        self._me: dict[str, Any] = {
            "host": machine(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "token": secrets.token_hex(8),
        }
        self.owner = Owner(run, self._me["token"])
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lock heartbeat")
        self.is_lost = False

    def __enter__(self) -> "Lock":
        """Take the lock.

        Raises
        ------
        Locked
            If a live driver has it.
        """
        while not self.run.create(LOCK, self._content()):
            seen = self._read()
            if seen is None:
                continue
            owner = json.loads(seen)
            if _is_alive(owner, self._clock()):
                raise Locked(
                    f"{self.run.uri} is being written by process {owner['pid']} on {owner['host']}, last heard of "
                    f"{self._clock() - owner['time']:.0f} s ago; stop it, or write to another --output."
                )
            if owner["host"] != self._me["host"]:  # its clock isn't ours: a heartbeat now would change what was seen
                self._wait(1.5 * HEARTBEAT_S)
            if self.run.swap(LOCK, self._content(), seen=seen):
                break
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join(timeout=HEARTBEAT_S)
        try:
            if self.owner.holds():
                self.run.delete(LOCK)
        except OSError as problem:  # must not hide why the job ended; the lock dies with us
            log.warning("can't release the lock of %s: %s", self.run.uri, problem)

    def _content(self) -> bytes:
        return json.dumps({**self._me, "time": self._clock()}).encode().ljust(SIZE)

    def _read(self) -> bytes | None:
        try:
            return self.run.read(LOCK)
        except FileNotFoundError:
            return None

    def _beat(self, seen: bytes) -> None:
        if self.run.is_local:  # a swap would leave a moment without any lock
            self.run.write(LOCK, self._content())
        else:
            self.run.swap(LOCK, self._content(), seen=seen)

    def _renew(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            try:
                seen = self._read()
                if seen is None or json.loads(seen)["token"] != self._me["token"]:
                    self.is_lost = True
                    return
                self._beat(seen)
            except OSError:
                continue  # storage that fails for a while; the next beat tries again


def is_abandoned(run: Folder) -> bool:
    """Whether the lock of a run folder is still there, but its driver, as far as can be told from here, is dead."""
    try:
        return not _is_alive(json.loads(run.read(LOCK)), time.time())
    except FileNotFoundError:
        return False


def _seconds() -> float:
    """A clock that also runs while this process, or the machine, sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


def machine() -> str:
    """This machine, or this container of it: where a process number means what it means here."""
    try:
        return f"{socket.gethostname()}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux
        return socket.gethostname()


def _is_alive(owner: dict, now: float) -> bool:
    if owner["host"] == machine():
        try:
            return bool(psutil.Process(owner["pid"]).create_time() == owner["started"])
        except psutil.NoSuchProcess:
            return False
    return bool(now - owner["time"] < DEAD_AFTER_S)
