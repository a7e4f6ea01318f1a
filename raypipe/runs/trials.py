"""Trials of a sweep without Ray: what one is, the file that says how it ended, and a loop that runs them here.

A trial is a function (settings, seed, folder) -> metrics. Its file, TRIAL.json beside the folder TRIAL/, is named by
the hash of its identity and put in one step when it ends. These files are all the state that a sweep has: whoever
finds a trial's file does not run the trial.
"""

import hashlib
import json
import math
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from threading import Event
from typing import Any, Literal

from raypipe.runs.card import now
from raypipe.runs.lock import Lock, Locked
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder

Metrics = Mapping[str, float]
TrialFunction = Callable[[dict[str, Any], int, Folder], Metrics]
"""Plain Python: settings, seed, the trial's own folder -> metrics by name; importable, for workers."""
Status = Literal["finished", "stopped", "failed"]
LOOK_EVERY_S = 0.5
_FILE = re.compile(r"[0-9a-f]{16}\.json")
_reporting: ContextVar[Callable[[int, Metrics], None]] = ContextVar("reporting")


@dataclass(frozen=True)
class Trial:
    """One point of a sweep."""

    settings: dict[str, Any]
    """What differs between trials, by name; JSON."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Hold settings as a file would give them back, so that a tuple and a list are one trial."""
        object.__setattr__(self, "settings", json.loads(json.dumps(self.settings)))

    def name(self, identity: Mapping[str, Any]) -> str:
        """16 hexadecimal digits of the settings, the seed and whatever else can change the metrics."""
        content = json.dumps([self.settings, self.seed, identity], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        words = [f"{name} {value}" for name, value in self.settings.items()]
        return ", ".join([*words, f"seed {self.seed}"])


@dataclass(frozen=True)
class Result:
    """How a trial ended."""

    trial: Trial
    status: Status
    """stopped: by the scheduler, before its last step."""
    metrics: dict[str, float]
    """At its end; of a stopped trial the last that were reported; of a failed one none."""
    curve: list[dict[str, float]] = field(default_factory=list)
    """What was reported on the way, by rising `step`."""
    error: str | None = None
    seconds: float = 0.0
    ended: str = ""

    @property
    def steps(self) -> int:
        """The last step that was reported."""
        return int(self.curve[-1]["step"]) if self.curve else 0


@dataclass(frozen=True)
class TrialFiles:
    """The committed trials of a sweep, in a folder."""

    folder: Folder
    identity: dict[str, Any]
    """What all trials share and what can change their metrics."""

    def read(self, trial: Trial) -> Result | None:
        """How a trial ended; None if it hasn't."""
        try:
            return _parse(self.folder.read(self._file(trial)))
        except FileNotFoundError:
            return None

    def commit(self, result: Result) -> None:
        """Put a trial's file, in one step; a failed one's may be replaced, another's stays."""
        content = json.dumps({**asdict(result), "identity": self.identity}, indent=1).encode()
        if not self.folder.create(self._file(result.trial), content):
            before = self.read(result.trial)
            if before is not None and before.status == "failed":
                self.folder.write(self._file(result.trial), content)

    def all(self) -> list[Result]:
        """Every trial that ended under this identity, in order of file names."""
        contents = [self.folder.read(entry.path) for entry in self.folder.files() if _FILE.fullmatch(entry.path)]
        return [_parse(content) for content in contents if json.loads(content)["identity"] == self.identity]

    def own(self, trial: Trial) -> Folder:
        """The folder that a trial may write to; what it finds there it wrote itself, before it was killed."""
        return self.folder / trial.name(self.identity)

    def _file(self, trial: Trial) -> str:
        return f"{trial.name(self.identity)}.json"


def _parse(content: bytes) -> Result:
    read = json.loads(content)
    read.pop("identity")
    return Result(**{**read, "trial": Trial(**read["trial"])})


def report(step: int, **metrics: float) -> None:
    """Say how far a trial is, from inside it: a point of its curve, by which a scheduler may stop it here."""
    if (reporting := _reporting.get(None)) is not None:
        reporting(step, metrics)


def run_trial(
    function: TrialFunction, trial: Trial, files: TrialFiles,
    *, metric: str | None = None, retry: bool = False, on_report: Callable[[int, Metrics], None] = lambda *_: None,
) -> Result:  # fmt: skip
    """Run a trial and commit how it ended; one that ended before is not run again (a failed one with `retry`).

    Two that run the same trial take turns: the second finds the first's file. An error is the trial's end, not ours,
    but for Stopped: a trial that was asked to stop has not ended.
    """
    own = files.own(trial)
    with _alone(own):
        before = files.read(trial)
        if before is not None and not (retry and before.status == "failed"):
            return before
        curve: dict[int, dict[str, float]] = {}

        def on_step(step: int, metrics: Metrics) -> None:
            """Keep a point of the curve, and pass it on."""
            curve[step] = {"step": step, **{name: float(value) for name, value in metrics.items()}}
            on_report(step, metrics)

        started, token = time.monotonic(), _reporting.set(on_step)
        try:
            metrics, error = _checked(function(dict(trial.settings), trial.seed, own), metric), None
        except Stopped:
            raise
        except Exception as problem:
            metrics, error = {}, _words(problem)
        finally:
            _reporting.reset(token)
        points = [curve[step] for step in sorted(curve)]
        status: Status = "failed" if error else "finished"
        result = Result(trial, status, metrics, points, error, round(time.monotonic() - started, 3), now())
        files.commit(result)
        return result


@contextmanager
def _alone(own: Folder) -> Iterator[None]:
    """Wait while another process, perhaps of a driver that was killed a moment ago, is at the same trial."""
    while True:
        lock = Lock(own)
        try:
            lock.__enter__()
        except Locked:
            time.sleep(LOOK_EVERY_S)
            continue
        break
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _checked(metrics: Metrics, metric: str | None) -> dict[str, float]:
    """Metrics as numbers.

    Raises
    ------
    ValueError
        If the one that counts isn't among them, or one isn't finite.
    """
    numbers = {name: float(value) for name, value in metrics.items()}
    if metric is not None and metric not in numbers:
        raise ValueError(f"the trial must give the metric {metric!r}, it gave {', '.join(sorted(numbers)) or 'none'}.")
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"metrics must be finite, got {name} {number}.")
    return numbers


def _words(problem: Exception) -> str:
    """What went wrong, and where."""
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {problem} ({last.filename.rsplit('/', 1)[-1]}:{last.lineno})"


def run_here(
    function: TrialFunction, trials: Iterable[Trial], files: TrialFiles,
    *, metric: str | None = None, retry: bool = False, stopping: Event | None = None,
) -> list[Result]:  # fmt: skip
    """All trials, one after the other, in this process; fewer if `stopping` was set."""
    results = []
    for trial in trials:
        if stopping is not None and stopping.is_set():
            break
        results.append(run_trial(function, trial, files, metric=metric, retry=retry))
    return results


def run_all_here(
    function: TrialFunction, trials: Iterable[Trial], files: TrialFiles,
    *, stopping: Event, metric: str | None = None, retry: bool = False,
) -> list[Result]:  # fmt: skip
    """All trials, one after the other, in this process.

    Raises
    ------
    Stopped
        If `stopping` was set; with how many are done.
    """
    results = run_here(function, trials, files, metric=metric, retry=retry, stopping=stopping)
    if stopping.is_set():
        raise Stopped(f"stopped; {len(results)} trials are done, go on with the same command.")
    return results


def none_finished(results: Sequence[Result]) -> str | None:
    """Why a sweep has come to nothing; None if a trial finished."""
    if any(result.status == "finished" for result in results):
        return None
    return f"none of {len(results)} trials finished; their errors are above, --retry failed runs them again."


def show_failed(results: Sequence[Result]) -> None:
    """The errors of those that failed, on the terminal."""
    for result in results:
        if result.status == "failed":
            print(f"failed: {result.trial}: {result.error}", file=sys.stderr)
