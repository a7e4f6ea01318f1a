"""One writer to a run folder: a lock file with an owner and a heartbeat."""

import json
import os
import secrets
import socket
import threading
import time
from types import TracebackType

import psutil

from raypipe.storage import Folder

LOCK = "lock.json"
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
            "host": socket.gethostname(),
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
            if self.run.swap(LOCK, self._content(), seen=seen):
                break
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join(timeout=HEARTBEAT_S)
        if self._is_mine():
            self.run.delete(LOCK)

    def _content(self) -> bytes:
        return json.dumps({**self._me, "time": time.time()}).encode()

    def _read(self) -> bytes | None:
        try:
            return self.run.read(LOCK)
        except FileNotFoundError:
            return None

    def _is_mine(self) -> bool:
        seen = self._read()
        return seen is not None and json.loads(seen)["token"] == self._me["token"]

    def _renew(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            try:
                if not self._is_mine():
                    self.is_lost = True
                    return
                self.run.write(LOCK, self._content())
            except OSError:
                continue  # storage that fails for a while; the next beat tries again


def _is_alive(owner: dict) -> bool:
    if owner["host"] == socket.gethostname():
        try:
            return bool(psutil.Process(owner["pid"]).create_time() == owner["started"])
        except psutil.NoSuchProcess:
            return False
    return bool(time.time() - owner["time"] < DEAD_AFTER_S)
