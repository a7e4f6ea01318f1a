"""One writer to a run folder: a lock file with an owner and a heartbeat."""

import json
import logging
import os
import secrets
import socket
import threading
import time
from types import TracebackType

import psutil

from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
LOCK = "lock.json"
SIZE = 512
"""Bytes of every lock: an S3 reader asks for the size first, and the lock may be renewed before it gets the content."""
HEARTBEAT_S = 10.0
DEAD_AFTER_S = 60.0
"""An owner on another machine that hasn't renewed its lock for so long is taken for dead."""


class Locked(RuntimeError):
    """Another driver works on this run folder."""


class Lock:
    """Held while a job writes to a run folder; a second driver is refused, a dead one's lock is taken over."""

    def __init__(self, run: Folder) -> None:
        self.run = run
        self._me = {
            "host": machine(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "token": secrets.token_hex(8),
        }
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
            if _is_alive(owner):
                raise Locked(
                    f"{self.run.uri} is being written by process {owner['pid']} on {owner['host']}, last heard of "
                    f"{time.time() - owner['time']:.0f} s ago; stop it, or write to another --output."
                )
            if owner["host"] != self._me["host"]:  # its clock isn't ours: a heartbeat now would change what was seen
                time.sleep(1.5 * HEARTBEAT_S)
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
            if self._is_mine():
                self.run.delete(LOCK)
        except OSError as problem:  # must not hide why the job ended; the lock dies with us
            log.warning("can't release the lock of %s: %s", self.run.uri, problem)

    def _content(self) -> bytes:
        return json.dumps({**self._me, "time": time.time()}).encode().ljust(SIZE)

    def _read(self) -> bytes | None:
        try:
            return self.run.read(LOCK)
        except FileNotFoundError:
            return None

    def _is_mine(self) -> bool:
        seen = self._read()
        return seen is not None and json.loads(seen)["token"] == self._me["token"]

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


def machine() -> str:
    """This machine, or this container of it: where a process number means what it means here."""
    try:
        return f"{socket.gethostname()}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux
        return socket.gethostname()


def _is_alive(owner: dict) -> bool:
    if owner["host"] == machine():
        try:
            return bool(psutil.Process(owner["pid"]).create_time() == owner["started"])
        except psutil.NoSuchProcess:
            return False
    return bool(time.time() - owner["time"] < DEAD_AFTER_S)
