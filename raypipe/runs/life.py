"""A job at work on a run folder, from its lock to its exit status: the one way in which any job writes to a run."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from raypipe.runs.card import Json
from raypipe.runs.lock import Lock, LockLost
from raypipe.runs.owned import OwnedFolder
from raypipe.runs.restart import check_restart, throw_away
from raypipe.runs.run_file import RUN_FILE, begun, ended, read_run_file
from raypipe.runs.signals import Stopped, orderly_stop
from raypipe.runs.stage import FINISHED, INCOMPLETE, ended_by
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
REFUSED = (ValueError, KeyError, FileNotFoundError)
"""What wrong input ends a job by."""


class Life:
    """The life of a job: it holds the run's lock, says in run.json how far it is, and knows the exit status.

    Until `begin`, when everything that can be checked is checked, nothing of the run is written. A request to stop
    (SIGTERM, Ctrl-C) sets `stopping`; the Stopped that the work then raises ends the job with status 143 or 130 and
    goes no further. Whatever else is raised leaves "failed" in run.json, but for a refusal of wrong input before
    anything was written: that leaves it as it was. `run` is written to only while the lock is held.
    """

    def __init__(
        self, run: Folder, job: str, *, recipe: Json, stages: Sequence[str], restart: str | None = None,
        yes: bool = False, is_main: bool = False, is_new: bool = True,
    ) -> None:  # fmt: skip
        """`stages` may be thrown away by `restart`; `is_new`: whether the run's folder is made if it isn't there."""
        self._at, self._job, self._recipe, self._is_main, self._is_new = run, job, recipe, is_main, is_new
        self._own, self._restart, self._yes = list(stages), restart, yes
        self._before: bytes | None = None
        self._noted: Json | None = None
        self._leave = ExitStack()
        self.status = 0
        """The exit status, once the block is left."""

    def __enter__(self) -> "Life":
        """Take the lock.

        Raises
        ------
        Locked
            If another driver has it.
        ValueError
            If the stage to restart can't be.
        FileNotFoundError
            If there is no such run and none is made.
        """
        if not self._is_new and not (self._at.exists(RUN_FILE) or self._at.files(recursive=True)):
            raise FileNotFoundError(f"{self._at.uri} holds no run; check the path.")
        if self._restart is not None:
            check_restart(self._at, self._restart, own=self._own, yes=self._yes)
        self._lock = self._leave.enter_context(Lock(self._at))
        self.run = OwnedFolder(self._at.uri, self._lock.owner)
        self.stopping, self._stopped = self._leave.enter_context(orderly_stop())
        return self

    def is_owner(self) -> bool:
        """Whether the heartbeat still finds the lock to be ours; asks no storage."""
        return not self._lock.is_lost

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Work that doesn't look at `stopping`: a request to stop ends it where it is, by Stopped."""
        if self.stopping.is_set():
            raise Stopped("stopped; go on with the same command.")
        self._stopped["at_once"] = 1
        try:
            yield
        finally:
            self._stopped["at_once"] = 0

    def is_restarting(self, stage: str) -> bool:
        """Whether `begin` will throw this stage away."""
        return self._restart == stage

    def begin(self, stages: Sequence[str] | None = None) -> None:
        """Everything is checked: throw away what is to be done again, and say that the job runs, and on what."""
        if self._noted is not None:
            return
        if self._restart is not None:
            throw_away(self.run, self._restart, yes=self._yes)
        before = read_run_file(self._at)
        self._before = None if before is None else json.dumps(before, indent=1).encode()
        self._noted = begun(
            before, run=self._at.uri, job=self._job, recipe=self._recipe,
            stages=list(self._own if stages is None else stages), is_main=self._is_main,
        )  # fmt: skip
        self._write()

    def note(self, **more: Any) -> None:
        """Add to run.json."""
        self.begin()
        self._noted = {**(self._noted or {}), **more}
        self._write()

    def noted(self, name: str) -> Any:
        """What run.json says under a name; None if it says nothing."""
        return (self._noted or read_run_file(self._at) or {}).get(name)

    def conclude(self, why: str | None = None) -> None:
        """Say in run.json that all is done, or `why` not, which also makes the exit status 1."""
        self.begin()
        self.status = 1 if why else 0
        self._noted = ended(self._noted or {}, status=INCOMPLETE if why else FINISHED, why=why)
        self._write()
        if why:
            print(f"incomplete: {why}", file=sys.stderr)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        with self._leave:
            if error is None:
                if self._noted is not None and self._noted["status"] == "running":
                    self.conclude()
                return False
            self._end_by(error)
            if not isinstance(error, Stopped):
                return False
            self.status = self._stopped["code"]
            print(error, file=sys.stderr)
            return True

    def _end_by(self, error: BaseException) -> None:
        """Say how it ended, without hiding what it ended by."""
        try:
            if self._noted is None or isinstance(error, LockLost):
                return
            if isinstance(error, REFUSED) and not self.run.owner.has_written:
                self._put(self._before)
            else:
                self._noted = ended(self._noted, **ended_by(error))
                self._write()
        except (OSError, LockLost) as problem:
            log.warning("can't write %s of %s: %s", RUN_FILE, self._at.uri, problem)

    def _write(self) -> None:
        self._put(json.dumps(self._noted, indent=1).encode())

    def _put(self, content: bytes | None) -> None:
        """run.json itself, which doesn't count as something written of the run."""
        self.run.owner.check()
        if content is None:
            self._at.delete(RUN_FILE)
        else:
            self._at.write(RUN_FILE, content)
