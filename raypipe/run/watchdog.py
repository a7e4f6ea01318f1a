"""Kills processes that have stopped reporting; Ray starts them anew and gives their shard to the next."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.run import nodes
from raypipe.run.ledger import Identity, Sighting
from raypipe.run.patience import Patience

log = logging.getLogger(__name__)
CHECK_EVERY_S = 1.0


class Watchdog:
    """Looks at the ledger, and at the nodes, every second while a stage runs."""

    def __init__(self, ledger: Any, patience: Patience, stop: Callable[[], None] = lambda: None) -> None:
        self.ledger, self.patience, self.stop = ledger, patience, stop
        self.killed: list[str] = []
        """What was killed and why, one line each."""
        self.n_workers, self.slowest_s = 0, 0.0
        self.worked = self.moved = time.monotonic()
        """When a worker was last seen with a shard, and when any process was last seen at work."""
        self._leaving: frozenset[str] = frozenset()
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
                self._look_at_nodes()
            except ray.exceptions.ActorDiedError:  # the next shard that would begin ends the stage
                log.warning("the ledger is gone: from now on nobody watches for processes that hang")
                return
            except Exception as error:  # whatever one look met: without a watchdog a hang would last for ever
                log.warning("the watchdog could not look: %s: %s", type(error).__name__, error)

    def _look(self) -> None:
        seen, self.slowest_s = ray.get(self.ledger.snapshot.remote(), timeout=30)
        phases = [one.activity.phase for one in seen]
        self.n_workers = sum(phase in ("setup", "idle", "working") for phase in phases)
        if "working" in phases:
            self.worked = time.monotonic()
        if {"setup", "working", "reading"}.intersection(phases):
            self.moved = time.monotonic()
        for one in seen:
            if self.patience.is_over(one.activity, one.silent_s, one.still_s, slowest_s=self.slowest_s):
                self._end(one)

    def _look_at_nodes(self) -> None:
        """A node that is about to be taken away gets no new shard; without another to go on with, the job stops."""
        leaving = nodes.leaving()
        if leaving == self._leaving:
            return
        log.warning("about to be taken away, and given no new shard: node %s", ", ".join(sorted(leaving)) or "none")
        if nodes.is_last(leaving):
            self.stop()
        else:
            ray.get(self.ledger.leave.remote(leaving), timeout=30)
        self._leaving = leaving  # not before: what failed is tried again at the next look

    def _end(self, one: Sighting) -> None:
        doing = f"{one.activity.phase} {one.activity.key}".strip()
        if kill(one.who):
            what = f"process {one.who.pid} on {one.who.address} was silent for {one.silent_s:.0f} s ({doing})"
            log.warning("%s: killed", what)
            self.killed.append(what)
        ray.get(self.ledger.forget.remote(one.who), timeout=30)


def kill(who: Identity) -> bool:
    """Kill a process on its own node, also one that is stopped; False if it is gone already."""
    there = NodeAffinitySchedulingStrategy(who.node, soft=False)
    try:
        return bool(ray.get(_kill.options(scheduling_strategy=there).remote(who), timeout=30))
    except ray.exceptions.RayError as error:  # its node is gone, and so is it
        log.warning("could not kill process %d on %s: %s", who.pid, who.address, type(error).__name__)
        return False


@ray.remote(num_cpus=0, max_retries=0)
def _kill(who: Identity) -> bool:
    try:
        if psutil.Process(who.pid).create_time() != who.started:
            return False
        os.kill(who.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False
    return True
