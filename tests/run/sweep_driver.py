"""A sweep for tests that kill it: python -m tests.run.sweep_driver ROOT; its files are under ROOT."""

import os
import sys
import time
from pathlib import Path

from raypipe.run.sweep import Sweep, sweep
from raypipe.runs.lock import Lock
from raypipe.runs.signals import Stopped, orderly_stop
from raypipe.runs.trials import Trial, TrialFiles
from raypipe.storage.folder import Folder

TRIALS = [Trial({"x": x}, seed) for x in range(8) for seed in range(3)]


def trial(settings, seed, folder):
    """A second's work; says in the log that it starts, with its process, and whether it had ended before."""
    name = folder.uri.rsplit("/", 1)[1]
    root = Path(folder.uri.removeprefix("file://")).parents[1]
    ended = (root / "trials" / f"{name}.json").exists()
    with (root / "log").open("a") as log:
        log.write(f"{name} {os.getpid()} {'AGAIN' if ended else 'starts'}\n")
    time.sleep(settings.get("seconds", 0.7))
    if settings.get("dies"):
        os._exit(9)
    if settings.get("fails"):
        raise ValueError("this point is bad")
    return {"loss": settings["x"] ** 2 + seed / 10}


def plan(root, trials=TRIALS):
    """The sweep."""
    return Sweep(trial, TrialFiles(Folder(f"{root}/trials"), {}), trials)


def main(root: str) -> int:
    """Run it under a lock, as a job does."""
    run = Folder(root)
    with Lock(run), orderly_stop() as (stopping, status):
        try:
            sweep(plan(root), run, stopping=stopping)
        except Stopped as stop:
            print(stop, file=sys.stderr)
            return status["code"]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
