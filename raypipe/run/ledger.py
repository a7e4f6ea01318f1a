"""Who works on what: the one actor that all workers report to, and that the driver watches them through."""

import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil

from raypipe.run.exits import end_in_time

MAX_DEATHS = 3
"""A shard whose process died so often is no longer given to the pool; it runs alone."""
TICK_S = 5.0
"""Between two signs of life of a process that is set up."""


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
        import ray

        pid = os.getpid()
        node = ray.get_runtime_context().get_node_id()
        return Identity(node, socket.gethostname(), pid, psutil.Process(pid).create_time())


@dataclass
class Activity:
    """What a worker or reader does, as of its last report."""

    phase: str = "setup"  # setup, idle, working; a reader: reading, waiting
    key: str = ""
    cost: int = 0
    """Tokens done so far."""
    reported: float = field(default_factory=time.monotonic)
    ticked: float = field(default_factory=time.monotonic)
    """When its process last showed that it isn't stopped."""


@dataclass(frozen=True)
class Sighting:
    """One worker or reader in a snapshot."""

    who: Identity
    activity: Activity
    silent_s: float
    """Seconds since its last report."""
    still_s: float
    """Seconds since its last sign of life of any kind."""


class Ledger:
    """Attempts at shards and the last report of each process; lives on the driver's node and dies with the driver."""

    def __init__(self) -> None:
        end_in_time()
        self.attempts: Counter[str] = Counter()
        self.processes: dict[Identity, Activity] = {}
        self.slowest_s = 0.0
        self.is_stopping = False
        self.leaving: frozenset[str] = frozenset()

    def hello(self, who: Identity) -> None:
        """A worker starts to load what it needs."""
        self.processes[who] = Activity()

    def ready(self, who: Identity) -> None:
        """A worker waits for work."""
        self._now(who, phase="idle", key="")

    def alive(self, who: Identity) -> None:
        """A process isn't stopped; that is no report, for one that hangs may still tick."""
        if who in self.processes:
            self.processes[who].ticked = time.monotonic()

    def begin(self, who: Identity, key: str) -> int | None:
        """A worker takes up a shard: which attempt at it this is, from 1; None: none may start, 0: not on its node."""
        if self.is_stopping:
            return None
        if who.node in self.leaving:
            self.forget(who)
            return 0
        self.attempts[key] += 1
        for other in [
            other for other, doing in self.processes.items() if doing.phase == "working" and doing.key == key
        ]:
            self.forget(other)  # it died with the shard, or we weren't asked
        self._now(who, phase="working", key=key)
        return self.attempts[key]

    def report(self, who: Identity, cost: int, seconds: float) -> None:
        """Batches are done: their tokens, and the seconds of the slowest."""
        self._now(who).cost += cost
        self.slowest_s = max(self.slowest_s, seconds)

    def done(self, who: Identity, key: str) -> None:
        """A shard is committed, or given up in an orderly way."""
        self.attempts.pop(key, None)
        self._now(who, phase="idle", key="")

    def read_begins(self, who: Identity, key: str) -> int | None:
        """A reader takes up a shard: which attempt at reading it, from 1; None if no new shard may start."""
        if self.is_stopping:
            return None
        self.attempts[f"read {key}"] += 1
        self._now(who, phase="reading", key=key)
        return self.attempts[f"read {key}"]

    def read_goes_on(self, who: Identity, key: str) -> None:
        """A reader turns to the next part of a stream."""
        self._now(who, phase="reading", key=key)

    def read_waits(self, who: Identity) -> None:
        """A reader has handed over what it read, and may be held up for as long as the workers are busy."""
        self._now(who, phase="waiting", key="")

    def read_done(self, who: Identity, key: str) -> None:
        """A shard is read."""
        self.attempts.pop(f"read {key}", None)
        self.forget(who)

    def stop(self) -> None:
        """From now on no new shard starts."""
        self.is_stopping = True

    def leave(self, nodes: frozenset[str]) -> None:
        """From now on no new shard starts on these nodes: they are about to be taken away."""
        self.leaving = nodes

    def forget(self, who: Identity) -> None:
        """A process is known to be gone."""
        self.processes.pop(who, None)

    def snapshot(self) -> tuple[list[Sighting], float]:
        """Each process and how long it has been silent; and the slowest batch of the stage so far, in seconds."""
        now = time.monotonic()
        seen = [
            Sighting(who, doing, now - doing.reported, now - max(doing.reported, doing.ticked))
            for who, doing in self.processes.items()
        ]
        return seen, self.slowest_s

    def _now(self, who: Identity, **changes: str) -> Activity:
        activity = self.processes.setdefault(who, Activity())
        for name, value in changes.items():
            setattr(activity, name, value)
        activity.reported = time.monotonic()
        return activity


def start_ledger() -> Any:
    """A new ledger on the driver's node."""
    import ray

    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    remote = ray.remote(Ledger)
    return remote.options(num_cpus=0, scheduling_strategy=here).remote()


def end_ledger(ledger: Any) -> None:
    """End its process: handles that tasks were given outlive a stage, so Ray would keep it until the driver leaves."""
    import ray

    ray.kill(ledger)


def is_lost(ledger: Any) -> bool:
    """Whether a ledger's process is gone, or can't be reached any more."""
    import ray

    try:
        ray.get(ledger.snapshot.remote(), timeout=30)
    except ray.exceptions.RayActorError:
        return True
    except ray.exceptions.GetTimeoutError:  # it is busy
        return False
    return False
