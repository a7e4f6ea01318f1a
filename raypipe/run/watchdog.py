"""Kills workers that have stopped reporting; Ray starts them anew and gives their shard to the next."""

import logging
import os
import signal
import threading
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.run.ledger import Activity, Identity

log = logging.getLogger(__name__)
CHECK_EVERY_S = 1.0


@dataclass(frozen=True)
class Patience:
    """How long a worker may be silent."""

    batch_s: float = 60.0
    """Between batches: this, or `times` the slowest batch so far."""
    times: float = 5.0
    """Multiple of the slowest batch that this worker has reported."""
    setup_s: float = 900.0
    """For loading and warming up: download, load, compile."""

    def is_over(self, activity: Activity, silent_s: float) -> bool:
        """Whether a worker that was silent for so long counts as hung."""
        if activity.phase == "setup":
            return silent_s > self.setup_s
        return activity.phase == "working" and silent_s > max(self.batch_s, self.times * activity.slowest_s)


class Watchdog:
    """Looks at the ledger every second while a stage runs."""

    def __init__(self, ledger: Any, patience: Patience) -> None:
        self.ledger, self.patience = ledger, patience
        self.killed: list[str] = []
        """What was killed and why, one line each."""
        self.n_workers = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watchdog")

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._ended.wait(CHECK_EVERY_S):
            try:
                self._look()
            except (ray.exceptions.RayError, TimeoutError) as error:
                log.warning("the watchdog could not look: %s", error)

    def _look(self) -> None:
        workers = ray.get(self.ledger.snapshot.remote(), timeout=30)
        self.n_workers = len(workers)
        for who, activity, silent_s in workers:
            if self.patience.is_over(activity, silent_s):
                doing = f"{activity.phase} {activity.key}".strip()
                what = f"worker {who.pid} on {who.address} was silent for {silent_s:.0f} s ({doing})"
                log.warning("%s: killing it", what)
                self.killed.append(what)
                kill(who)
                ray.get(self.ledger.forget.remote(who))


def kill(who: Identity) -> None:
    """Kill a process on its own node, also one that is stopped; nothing happens if it is gone already."""
    there = NodeAffinitySchedulingStrategy(who.node, soft=False)
    try:
        ray.get(_kill.options(scheduling_strategy=there).remote(who), timeout=30)
    except ray.exceptions.RayError as error:  # its node is gone, and so is it
        log.warning("could not kill worker %d on %s: %s", who.pid, who.address, type(error).__name__)


@ray.remote(num_cpus=0, max_retries=0)
def _kill(who: Identity) -> None:
    try:
        if psutil.Process(who.pid).create_time() == who.started:
            os.kill(who.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return
