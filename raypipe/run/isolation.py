"""A shard that keeps killing its process, alone: the documents that do it are found and become skipped rows.

The shard runs in a child process with unchanged batches. If the child dies, the batch it was in is cut in two, a fresh
child goes on, and so down to single documents; one that kills its process alone twice is skipped, its neighbours are
scored. The child's exit code names the signal.
"""

import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import ray

from raypipe.contracts.op import Op, Pool
from raypipe.corpus import Shard
from raypipe.corpus.stages import Files, Joined, Mismatch
from raypipe.models.causal import DeviceLost
from raypipe.run.commit import commit, file_name
from raypipe.run.exits import end_in_time
from raypipe.run.ledger import MAX_DEATHS
from raypipe.run.patience import Patience
from raypipe.run.rows import BrokenOp, ShardResult, Work, check_failed, prepare, whole, without
from raypipe.run.worker import ALREADY, BROKEN, DONE, MISMATCH, UNREADABLE, outcome, trouble_of
from raypipe.storage.folder import Folder

Phase = Literal["prepare", "score"]
LOST_DEVICE = 75
"""Exit code of a child whose accelerator can't be used any more."""
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Limits:
    """What a child may use."""

    n_threads: int
    patience: Patience
    slowest_s: float

    @property
    def batch_s(self) -> float:
        """Seconds that a batch may take."""
        return self.patience.batch_limit_s(self.slowest_s)


def rescue(
    op: Op,
    inputs: Joined,
    shard: Shard,
    *,
    files: Files,
    folder: Folder,
    pool: Pool,
    done: frozenset[int],
    patience: Patience,
    slowest_s: float,
    identity: str = "",
) -> Iterator[dict[str, Any]]:
    """Finish a shard that the pool can't, on a worker's resources; yields worker.OUTCOMES rows.

    `slowest_s` is what the slowest batch of the stage took so far, for the patience with a hung one.
    """
    limits = Limits(pool.n_threads, patience, slowest_s)
    remote = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus, max_retries=MAX_DEATHS)(_rescue)
    try:
        yield from ray.get(remote.remote(op, inputs, shard, files, folder, done, limits, identity))
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
        # the Op ran in children, so what ended the task itself is the reading
        why = f"reading it ended its process {MAX_DEATHS + 1} times: {type(error).__name__}"
        yield outcome(shard.key, UNREADABLE, {"why": why, "shard": asdict(shard)})


def _rescue(
    op: Op, inputs: Joined, shard: Shard, files: Files, folder: Folder, done: frozenset[int], limits: Limits,
    identity: str,
) -> list[dict[str, Any]]:  # fmt: skip
    end_in_time()
    found: list[dict[str, Any]] = []
    try:
        for part, is_last, source in inputs.parts(shard, files, done=done):
            name, detail = file_name(part, is_last=is_last), {"shard": asdict(part)}
            if folder.exists(name):
                found.append(outcome(name, ALREADY, detail))
                continue
            started = time.monotonic()
            result, source = _through_children(op, source, limits)
            busy_s = time.monotonic() - started
            counts = commit(folder, name, shard=part, source=source, result=result, identity=identity)
            times = {"busy_s": busy_s, "waited_s": 0.0, "commit_s": 0.0, "at": time.time()}
            found.append(outcome(name, DONE, {**detail, "counts": counts, **times}))
    except Mismatch as error:
        found.append(outcome(shard.key, MISMATCH, {"why": str(error), "shard": asdict(shard)}))
    except BrokenOp as error:
        found.append(outcome(shard.key, BROKEN, {"why": str(error), "shard": asdict(shard)}))
    except OSError as error:
        found.append(outcome(shard.key, trouble_of(error), {"why": str(error), "shard": asdict(shard)}))
    return found


def _through_children(op: Op, source: pa.Table, limits: Limits) -> tuple[ShardResult, pa.Table]:
    prepared, source = _prepare(op, source, limits)
    trial = IsolatedPhase(op, "score", prepared, limits)
    trial.run(op.batches(prepared))
    result = whole(op, prepared, trial.parts, trial.lost, halved=trial.halved, padding=trial.padding)
    return result, source


def _prepare(op: Op, source: pa.Table, limits: Limits) -> tuple[pa.Table, pa.Table]:
    """The prepared rows, and the source without the texts that kill the Op's prepare."""
    trial = IsolatedPhase(op, "prepare", source, limits)
    trial.run([np.arange(len(source))])
    if trial.lost:  # the rest goes through as one table, as it would have without them
        return _prepare(op, without(source, trial.lost), limits)
    in_order = sorted(trial.parts, key=lambda part: int(part[0][0]) if len(part[0]) else 0)
    return pa.concat_tables([table for _, table in in_order]), source


Message = tuple[list[tuple[np.ndarray, pa.Table]], dict[int, str], int, int]
"""What a child sends after each group: parts, failed rows with their reasons, batches halved, padding."""


@dataclass
class IsolatedPhase:
    """Groups of rows through one phase of an Op, in child processes that may die."""

    op: Op
    phase: Phase
    table: pa.Table
    limits: Limits
    parts: list[tuple[np.ndarray, pa.Table]] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)
    """Row -> why it has no part."""
    halved: int = 0
    padding: int = 0
    _deaths: Counter[int] = field(default_factory=Counter)
    _deaths_in_setup: int = 0

    def run(self, groups: Sequence[np.ndarray]) -> None:
        """All groups; one that ends its child is cut in two, a single row gets a second try.

        Raises
        ------
        BrokenOp
            If children end before they begin, or so many documents end them that the fault isn't theirs.
        """
        left = deque(groups)
        while left:
            n_done, end = self._child(list(left))
            for _ in range(n_done):
                left.popleft()
            if not left:
                return
            if end is None:  # before it had begun: no document's fault
                continue
            self._blame(left, end)

    def _blame(self, left: deque[np.ndarray], end: str) -> None:
        """Cut the group that ended a child, or skip the row if it did so alone and twice."""
        killer = left.popleft()
        if len(killer) > 1:
            middle = len(killer) // 2
            left.extendleft((killer[middle:], killer[:middle]))
            return
        row = int(killer[0])
        self._deaths[row] += 1
        if self._deaths[row] < 2:
            left.appendleft(killer)
            return
        self.lost[row] = end
        check_failed(len(self.lost), len(self.table), end)

    def _child(self, groups: list[np.ndarray]) -> tuple[int, str | None]:
        """Groups done before the child ended, and how it ended; None: while it loaded."""
        ours, theirs = _SPAWN.Pipe(duplex=False)
        arguments = (theirs, self.op, self.phase, self.table, groups, self.limits.n_threads)
        child = _SPAWN.Process(target=_attempt, args=arguments, daemon=True)
        child.start()
        theirs.close()
        n_done, has_begun, is_hung = 0, False, False
        try:
            while n_done < len(groups):
                limit_s = self.limits.batch_s if has_begun else self.limits.patience.setup_s
                if is_hung := not ours.poll(limit_s):
                    child.kill()
                    break
                message = ours.recv()
                if isinstance(message, str):
                    raise BrokenOp(message)
                if message is not None:
                    self._take(message)
                    n_done += 1
                has_begun = True
        except (EOFError, ConnectionResetError):  # it died
            pass
        finally:
            ours.close()
        child.join()
        if not has_begun:
            self._count_setup_death(child.exitcode)
            return 0, None
        return n_done, self._how(child.exitcode or 0, is_hung)

    def _take(self, message: Message) -> None:
        parts, failed, halved, padding = message
        self.parts += parts
        self.lost |= failed
        self.halved += halved
        self.padding += padding

    def _count_setup_death(self, code: int | None) -> None:
        self._deaths_in_setup += 1
        if self._deaths_in_setup >= MAX_DEATHS:
            raise BrokenOp(f"a process of its own ended {MAX_DEATHS} times while it loaded, the last with code {code}")

    def _how(self, code: int, is_hung: bool) -> str:
        what = {"prepare": "tokenizer", "score": "scorer"}[self.phase]
        if code == LOST_DEVICE:
            return "broke the device's driver or memory (it had to be opened anew)"
        if is_hung:
            return f"hung the {what}"
        return f"crashed the {what} (signal {-code})" if code < 0 else f"crashed the {what} (exit code {code})"


def _attempt(pipe: Connection, op: Op, phase: Phase, table: pa.Table, groups: list[np.ndarray], n_threads: int) -> None:
    """In the child: None when it is ready, a Message for each group, a str if something is wrong but no document."""
    try:
        if phase == "score":
            op.setup(n_threads=n_threads)
        pipe.send(None)
        for rows in groups:
            padding = op.padding
            if phase == "prepare":
                pipe.send(([(rows, prepare(op, table.take(rows)))], {}, 0, 0))
            else:
                work = Work(op, table, lambda rows, cost, seconds: None)
                work.run(rows)
                pipe.send((work.parts, work.failed, work.halved, op.padding - padding))
    except DeviceLost:
        os._exit(LOST_DEVICE)
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
