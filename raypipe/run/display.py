"""What a running stage shows on standard error: a bar on a terminal, elsewhere a line every half minute.

A log without a line for an hour looks like a job that hangs, so lines come by the clock and not by progress.
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

LINE_EVERY_S = 30.0
BAR_EVERY_S = 2.0


@dataclass(frozen=True)
class Seen:
    """How far a stage is."""

    done: int
    detail: str
    eta_s: float | None = None
    """Seconds to go, None while that can't be known."""


class Display:
    """Shows what `look` sees, by the clock, and once more at the end: a last look must find everything done.

    What `look` raises as OSError is left out: a display is worth no job.
    """

    def __init__(self, name: str, total: int, *, unit: str, look: Callable[[], Seen]) -> None:
        self.name, self.total, self.unit, self.look = name, total, unit, look
        self._is_bar = sys.stderr.isatty()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[d]}"))
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not self._is_bar)
        self._task = self._bar.add_task(name, total=total, d="starting workers")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="display")

    def __enter__(self) -> "Display":
        self._started = time.monotonic()
        self._bar.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.show()
        self._bar.stop()

    def show(self) -> None:
        """Look, and show what there is."""
        with suppress(OSError):
            seen = self.look()
            if self._is_bar:
                self._bar.update(self._task, completed=seen.done, d=f"{seen.detail}{left(seen.eta_s)}")
            else:
                print(self._line(seen), file=sys.stderr, flush=True)

    def _line(self, seen: Seen) -> str:
        """What stands in a log: `scores: 12 of 80 shards, 1,234 documents, ..., after 0:02:30, 0:11:20 to go`."""
        after = timedelta(seconds=round(time.monotonic() - self._started))
        return (
            f"{self.name}: {seen.done:,} of {self.total:,} {self.unit}, {seen.detail}, after {after}{left(seen.eta_s)}"
        )

    def _follow(self) -> None:
        while not self._ended.wait(BAR_EVERY_S if self._is_bar else LINE_EVERY_S):
            self.show()


def left(eta_s: float | None) -> str:
    """`, 0:11:20 to go`; nothing where that isn't known, or nothing is left."""
    return f", {timedelta(seconds=round(eta_s))} to go" if eta_s else ""
