"""How far a sweep is: files that others can read, and a live table of the trials on a terminal."""

import json
import logging
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table as RichTable

from raypipe.run.metrics import show
from raypipe.runs.card import now
from raypipe.runs.trials import Result
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
NOW_EVERY_S = 2.0
SHOWN = 30
"""Trials in the table: those in work, then those that ended last."""


@dataclass(frozen=True)
class TrialRow:
    """What is shown of a trial."""

    trial: str
    status: str
    step: int | None = None
    metric: float | None = None
    seconds: float = 0.0


class Table:
    """Follows the trials of a sweep."""

    def __init__(self, run: Folder, before: list[Result], left: int) -> None:
        self._run, self._folder, self._rows = run, run / "progress", dict[str, TrialRow]()
        self._before, self._n = Counter(result.status for result in before), len(before) + left
        self._written, self._started = 0.0, time.monotonic()
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=False)
        self._is_shown = sys.stderr.isatty()

    def __enter__(self) -> "Table":
        if self._is_shown:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_shown:
            self._live.stop()
        self._write()

    def update(self, key: str, row: TrialRow) -> None:
        """A trial changed; cheap enough to call at every report."""
        self._rows[key] = row
        if self._is_shown:
            self._live.update(self.as_table(), refresh=True)
        if time.monotonic() - self._written > NOW_EVERY_S:
            self._write()

    def counts(self) -> dict[str, int]:
        """Trials by status, those of earlier starts included."""
        return dict(self._before + Counter(row.status for row in self._rows.values()))

    def as_table(self) -> RichTable:
        """The trials for a terminal."""
        said = ", ".join(f"{n} {status}" for status, n in sorted(self.counts().items()))
        table = RichTable(title=f"{self._n} trials: {said}", title_justify="left")
        for heading in ("trial", "status", "step", "metric", "s"):
            table.add_column(heading)
        rows = list(self._rows.values())
        rows = [row for row in rows if row.status == "running"] + [row for row in rows[::-1] if row.status != "running"]
        for row in rows[:SHOWN]:
            metric = "" if row.metric is None else f"{row.metric:.4g}"
            step = "" if row.step is None else f"{row.step:,}"
            table.add_row(escape(row.trial), row.status, step, metric, f"{row.seconds:.0f}")
        return table

    def _write(self) -> None:
        self._written = time.monotonic()
        for status, n in self.counts().items():
            show({"trials": n}, run=self._run.uri, stage="trials", status=status)
        line = {
            "stage": "trials", "time": now(), "trials": self._n, "counts": self.counts(),
            "seconds": round(time.monotonic() - self._started, 1), "rows": [asdict(row) for row in self._rows.values()],
        }  # fmt: skip
        try:
            self._folder.write("now.json", json.dumps(line).encode())
        except OSError as error:  # progress is worth no sweep
            log.warning("can't write progress: %s", error)
