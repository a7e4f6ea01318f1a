"""Steps in a process below this one, watched: each has its time, and a process that dies is followed by another."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOOK_S = 0.1
START_S = 90.0
"""For Python and its libraries, before the first step begins."""
LEAST_S = 5.0
"""With less time left than this nothing is begun."""
TAIL = 1500
"""Characters of a dead process's last words that are kept."""


@dataclass
class StepOutcome:
    """What became of a step."""

    found: dict[str, Any] = field(default_factory=dict)
    trouble: str | None = None
    """Why there is nothing; None: all is well."""
    seconds: float = 0.0


def run_group(
    group: str, module: str, limits: Mapping[str, float], folder: Path, *, ends_at: float, rehearse: bool
) -> Iterator[tuple[str, StepOutcome]]:
    """Each step of the module's `steps` and its Outcome as soon as that is known; `ends_at` is by time.monotonic()."""
    left, attempt = list(limits), 0
    while left:
        if ends_at - time.monotonic() < LEAST_S:
            yield from ((step, StepOutcome(trouble="cut: no time was left")) for step in left)
            return
        attempt += 1
        process = _Process([module, group], [*left], folder / f"{group}-{attempt}", rehearse=rehearse)
        try:
            for step, outcome in process.follow(limits, ends_at=ends_at):
                left.remove(step)
                yield step, outcome
        finally:
            process.end()
        if not process.has_begun:
            yield from ((step, outcome) for step in left)
            return


class _Process:
    """Steps in one process; it says in a file what it begins and what it found."""

    def __init__(self, which: list[str], steps: list[str], base: Path, *, rehearse: bool) -> None:
        self._steps, self._lines, self._words = steps, base.with_suffix(".jsonl"), base.with_suffix(".txt")
        self._lines.touch()
        self.has_begun = False
        """Whether a step has: if none could, no other process will get further."""
        words = [*which, str(self._lines), str(base.parent), "tiny" if rehearse else "full", *steps]
        with self._words.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.steps", *words],
                stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True, env=_environment(),
            )  # fmt: skip

    def follow(self, limits: Mapping[str, float], *, ends_at: float) -> Iterator[tuple[str, StepOutcome]]:
        """Steps as they end, until the process does; the one that ends it, by dying or by its time, is the last."""
        step, since, limit, read = self._steps[0], time.monotonic(), START_S, 0
        while True:
            is_over = self._process.poll() is not None  # before the look at the file: its last lines count
            lines = self._lines.read_text().splitlines(keepends=True)
            whole = [json.loads(line) for line in lines[read:] if line.endswith("\n")]
            read += len(whole)
            for line in whole:
                if line["event"] == "begins":
                    self.has_begun, step, since, limit = True, line["step"], time.monotonic(), limits[line["step"]]
                else:
                    yield line["step"], StepOutcome(line.get("found", {}), line.get("trouble"), line["seconds"])
                    if line.get("trouble") or line["step"] == self._steps[-1]:
                        return  # a failure may have broken the device for this process: the rest gets another
                    step, since, limit = self._after(step), time.monotonic(), START_S
            spent = time.monotonic() - since
            if is_over:
                yield step, StepOutcome(trouble=self._last_words(), seconds=spent)
                return
            if spent > limit or time.monotonic() > ends_at:
                of = f"its {limit:.0f} s" if spent > limit else "the time for all steps"
                yield step, StepOutcome(trouble=f"cut: {of} were over", seconds=spent)
                return
            time.sleep(LOOK_S)

    def end(self) -> None:
        """Kill the process and whatever it started."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _after(self, step: str) -> str:
        return self._steps[self._steps.index(step) + 1]

    def _last_words(self) -> str:
        said = self._words.read_text(errors="replace").strip()[-TAIL:]
        return f"the process ended with status {self._process.returncode}: {said}"


def _environment() -> dict[str, str]:
    """No network; and this package is found wherever the process looks from."""
    root = Path(__file__).resolve().parents[len((__package__ or "").split("."))]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
