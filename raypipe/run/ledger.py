"""Who works on what: the one actor that all workers report to, and that the driver watches them through."""

import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil
import ray

MAX_DEATHS = 3
"""A shard whose process died so often is no longer given to the pool; it runs alone."""


@dataclass(frozen=True)
class Identity:
    """A process on a node; its start time tells it from a later one of the same number."""

    node: str
    address: str
    pid: int
    started: float

    @staticmethod
    def of_this_process() -> "Identity":
        """The process that asks."""
        pid = os.getpid()
        node = ray.get_runtime_context().get_node_id()
        return Identity(node, socket.gethostname(), pid, psutil.Process(pid).create_time())


@dataclass
class Activity:
    """What a worker does, as of its last report."""

    phase: str = "setup"  # setup, idle, working
    key: str = ""
    reported: float = field(default_factory=time.monotonic)
    slowest_s: float = 0.0
    rows: int = 0
    cost: int = 0

    def silent_s(self, now: float) -> float:
        """Seconds since its last report."""
        return now - self.reported


class Ledger:
    """Attempts at shards and the last report of each worker; lives on the driver's node and dies with the driver."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self.workers: dict[Identity, Activity] = {}
        self.is_stopping = False

    def hello(self, who: Identity) -> None:
        """A worker starts to load what it needs."""
        self.workers[who] = Activity()

    def ready(self, who: Identity) -> None:
        """A worker waits for work."""
        self._now(who, phase="idle", key="")

    def begin(self, who: Identity, key: str) -> int | None:
        """A worker takes up a shard: which attempt at it this is, from 1; None if no new shard may start."""
        if self.is_stopping:
            return None
        self.attempts[key] += 1
        self._now(who, phase="working", key=key)
        return self.attempts[key]

    def report(self, who: Identity, rows: int, cost: int, seconds: float) -> None:
        """A batch is done."""
        activity = self._now(who)
        activity.rows += rows
        activity.cost += cost
        activity.slowest_s = max(activity.slowest_s, seconds)

    def done(self, who: Identity, key: str) -> None:
        """A shard is committed, or given up in an orderly way."""
        self.attempts.pop(key, None)
        self._now(who, phase="idle", key="")

    def read_begins(self, key: str) -> int | None:
        """A reader takes up a shard: which attempt at reading it, from 1; None if no new shard may start."""
        if self.is_stopping:
            return None
        self.attempts[f"read {key}"] += 1
        return self.attempts[f"read {key}"]

    def read_done(self, key: str) -> None:
        """A shard is read."""
        self.attempts.pop(f"read {key}", None)

    def stop(self) -> None:
        """From now on no new shard starts."""
        self.is_stopping = True

    def forget(self, who: Identity) -> None:
        """A worker is known to be dead."""
        self.workers.pop(who, None)

    def snapshot(self) -> list[tuple[Identity, Activity, float]]:
        """Each worker, what it does, and how long it has been silent, in seconds."""
        now = time.monotonic()
        return [(who, activity, activity.silent_s(now)) for who, activity in self.workers.items()]

    def _now(self, who: Identity, **changes: Any) -> Activity:
        activity = self.workers.setdefault(who, Activity())
        for name, value in changes.items():
            setattr(activity, name, value)
        activity.reported = time.monotonic()
        return activity


def start_ledger() -> Any:
    """A new ledger on the driver's node."""
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    remote = ray.remote(Ledger)
    return remote.options(num_cpus=0, scheduling_strategy=here).remote()
