"""One go at the shards that are left: follows what becomes of them, and knows when to leave."""

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raypipe.corpus import Shard
from raypipe.run import worker as became
from raypipe.run.commit import Totals
from raypipe.run.ledger import is_lost
from raypipe.run.progress import Reporter, StageRates
from raypipe.run.resume import planned_key
from raypipe.run.rows import MAX_FAILED

if TYPE_CHECKING:
    from raypipe.run.watchdog import Watchdog

log = logging.getLogger(__name__)
MAX_HALVED_SHARDS = 3
SETTLE_S = 2.0
"""After the last worker has put down its shard: for its outcome to come through."""
LOOK_EVERY_S, NOTE_EVERY_S = 1.0, 30.0
Row = dict[str, Any]
_REMEDY = {
    became.FULL: "Make room; the same command goes on.",
    became.MISMATCH: "Then the same command goes on.",
    became.BROKEN: "The documents aren't at fault; mend the settings or the code, the same command goes on.",
}
LOST = (
    "the process that keeps account of the shards, on the driver's machine, was killed: most often for want of "
    "memory. Make room there; what is committed stays. The same command goes on."
)


class StageFailed(RuntimeError):
    """The stage can't go on, for a reason that another try would meet again."""


def check_failed_rows(stage: str, totals: Totals) -> None:
    """Tell some broken documents from a broken Op, over all shards of a stage.

    Raises
    ------
    StageFailed
        If more than MAX_FAILED documents and 5 % of the rows failed, with the commonest reason.
    """
    failed = totals.failed
    if failed.total() <= max(MAX_FAILED, totals.rows // 20):
        return
    why, n = failed.most_common(1)[0]
    raise StageFailed(
        f"{stage}: {failed.total():,} of {totals.rows:,} documents failed, {n:,} of them with: {why}. "
        f"{_REMEDY[became.BROKEN]} What failed so far is written as skipped rows: with --restart {stage} it is "
        "tried again."
    )


def nothing_scored(stage: str, totals: Totals) -> str:
    """What to say of a stage in which no row came through."""
    if not totals.rows:
        return f"{stage}: the corpus has no row at all; give another --corpus."
    why, n = totals.skipped.most_common(1)[0]
    return (
        f"{stage}: none of {totals.rows:,} rows came through, {n:,} of them with: {why}; mend the corpus or the "
        f"settings, then give the same command with --restart {stage}."
    )


@dataclass
class Shift:
    """Follows outcomes until they end, the job is asked to stop, or something is wrong for good."""

    stage: str
    limits: Mapping[str, int]
    """The Op's, for advice."""
    ledger: Any
    dog: "Watchdog"
    meter: StageRates
    reporter: Reporter
    stopping: threading.Event
    grace_s: float
    is_owner: Callable[[], bool]
    note: Callable[[], None]
    """Called twice a minute, to write down what the stage has cost so far."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """Planned key -> why the shard can't be finished."""
    poisoned: set[str] = field(default_factory=set)
    """Planned keys of shards that killed their worker too often."""
    _n_halved: int = 0
    _stopped_at: float | None = None
    _noted_at: float = field(default_factory=time.monotonic)

    def follow(self, stream: Iterator[Row]) -> None:
        """Take in all outcomes; after a request to stop, those of the shards in flight.

        Raises
        ------
        StageFailed
            If a shard can't be finished by trying again with these settings, or nothing moves any more.
        """
        import ray

        try:
            for row in arriving(stream, until=self._has_to_leave):
                if row is not None:
                    self._take(row["outcome"], json.loads(row["detail"]))
                if time.monotonic() - self._noted_at > NOTE_EVERY_S:
                    self._noted_at = time.monotonic()
                    self.note()
        except ray.exceptions.RayError as error:
            raise StageFailed(f"{self.stage}: {LOST if is_lost(self.ledger) else root_cause(error)}") from error
        if not self.is_owner():
            raise StageFailed(f"{self.stage}: another driver has taken over this run folder; this one stops.")

    def _take(self, kind: str, detail: Row) -> None:
        key = planned_key(Shard(**detail["shard"]))
        if kind == became.DONE:
            self.meter.add(detail)
            check_failed_rows(self.stage, self.meter.totals)
            self._n_halved += detail["counts"]["halved"] > 0
            if self._n_halved >= MAX_HALVED_SHARDS:
                raise StageFailed(too_large(self.stage, self.limits))
        elif kind == became.ALREADY:
            self.meter.totals.shards += 1
        elif kind == became.POISON:
            self.poisoned.add(key)
        elif kind in (became.UNREADABLE, became.STORAGE):
            self.set_aside[key] = f"{kind}: {detail['why']}"
        elif kind in _REMEDY:
            raise StageFailed(f"{self.stage}: {kind}: {detail['why'].rstrip('.')}. {_REMEDY[kind]}")
        self.meter.workers, self.meter.set_aside = self.dog.n_workers, len(self.set_aside)
        self.reporter.update()

    def _has_to_leave(self) -> bool:
        """Whether what is still to come isn't waited for."""
        if not self.is_owner():
            return True
        now = time.monotonic()
        if self.stopping.is_set() and self._stopped_at is None:
            self._stopped_at = now
            self.ledger.stop.remote()
            log.warning("%s: stopping; shards in flight get %.0f s", self.stage, self.grace_s)
        if self._stopped_at is not None:
            is_settled = now - max(self.dog.worked, self._stopped_at) > SETTLE_S
            return is_settled or now - self._stopped_at > self.grace_s
        if now - self.dog.moved > self.dog.patience.nothing_s:
            raise StageFailed(
                f"{self.stage}: no worker and no reader has done anything for {now - self.dog.moved:.0f} s; see "
                "whether the cluster has room for them (ray status)."
            )
        return False


def too_large(stage: str, limits: Mapping[str, int]) -> str:
    """What to say of a stage whose batches don't fit into memory."""
    lower = " ".join(f"--{name.replace('_', '-')} {value // 2}" for name, value in limits.items() if value > 1)
    remedy = f"start a run with {lower}" if lower else "no setting makes them smaller: give its workers more memory"
    return f"{stage}: batches of {MAX_HALVED_SHARDS} shards didn't fit into memory; {remedy}."


def arriving(stream: Iterator[Row], *, until: Callable[[], bool]) -> Iterator[Row | None]:
    """What the stream yields, as it comes, and None each second in between; ends early when `until` says so."""
    arrived: queue.Queue[Row | BaseException | None] = queue.Queue(maxsize=1000)
    has_left = threading.Event()

    def pull() -> None:
        """Take from the stream in a thread of its own: taking blocks."""
        try:
            for row in stream:
                arrived.put(row)
                if has_left.is_set():
                    return
            arrived.put(None)
        except BaseException as error:  # for the one who waits
            arrived.put(error)

    threading.Thread(target=pull, daemon=True, name="outcomes").start()
    try:
        while not until():
            try:
                row = arrived.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                yield None
                continue
            if row is None:
                return
            if isinstance(row, BaseException):
                raise row
            yield row
    finally:
        has_left.set()


def root_cause(error: BaseException) -> str:
    """The error that a chain of Ray's began with, on one line."""
    import ray

    while isinstance(below := getattr(error, "cause", None) or error.__cause__, BaseException) and str(below):
        error = below
    last = (str(error).strip().splitlines() or [""])[-1].strip()
    is_traceback = isinstance(error, ray.exceptions.RayError)  # its last line names the type itself
    return last if is_traceback and last else f"{type(error).__name__}: {last}"
