"""A shard that keeps killing its process, alone: the documents that do it are found and become skipped rows.

The shard runs in a child process with unchanged batches. If the child dies, the batch it was in is cut in two, a fresh
child goes on, and so down to single documents; one that kills its process alone twice is skipped, its neighbours are
scored. The child's exit code names the signal.
"""

import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import ray

from raypipe.corpus import Corpus, Shard, UnreadableFile
from raypipe.run.commit import commit, file_name
from raypipe.run.op import Op, Pool
from raypipe.run.rows import ShardResult, Work, assemble, without
from raypipe.run.watchdog import Patience
from raypipe.run.worker import ALREADY, DONE, STORAGE, UNREADABLE, outcome, parts
from raypipe.storage import Folder

Phase = Literal["prepare", "score"]


def rescue(
    op: Op,
    corpus: Corpus,
    shard: Shard,
    *,
    folder: Folder,
    pool: Pool,
    part_rows: int,
    done: frozenset[int],
    patience: Patience,
) -> Iterator[dict[str, Any]]:
    """Finish a shard that the pool can't, on a worker's resources; yields worker.OUTCOMES rows."""
    resources = {"num_cpus": pool.num_cpus, "num_gpus": pool.num_gpus or None, "max_retries": 3}
    task = ray.remote(**{name: value for name, value in resources.items() if value is not None})(_rescue)
    yield from ray.get(task.remote(op, corpus, shard, folder, pool.n_threads, part_rows, done, patience))


def _rescue(
    op: Op, corpus: Corpus, shard: Shard, folder: Folder, n_threads: int, part_rows: int, done: frozenset[int],
    patience: Patience,
) -> list[dict[str, Any]]:  # fmt: skip
    found: list[dict[str, Any]] = []
    try:
        for part, is_last, source in parts(corpus, shard, part_rows=part_rows, done=done):
            name = file_name(part, is_last=is_last)
            if folder.exists(name):
                found.append(outcome(name, ALREADY, {}))
                continue
            started = time.monotonic()
            result, source = _through_children(op, source, n_threads, patience)
            busy_s = time.monotonic() - started
            counts = commit(folder, name, shard=part, source=source, result=result)
            times = {"busy_s": busy_s, "waited_s": 0.0, "commit_s": 0.0, "at": time.time()}
            found.append(outcome(name, DONE, {"counts": counts, "padding": 0, **times}))
    except UnreadableFile as error:
        found.append(outcome(shard.key, UNREADABLE, {"why": str(error), "shard": asdict(shard)}))
    except OSError as error:
        found.append(outcome(shard.key, STORAGE, {"why": str(error), "shard": asdict(shard)}))
    return found


def _through_children(op: Op, source: pa.Table, n_threads: int, patience: Patience) -> tuple[ShardResult, pa.Table]:
    every = [np.arange(len(source))] if len(source) else []
    prepared = Trial(op, "prepare", source, n_threads, patience)
    prepared.run(every)
    if prepared.lost:  # without the documents that kill it, the whole goes through the tokenizer unchanged
        source = without(source, prepared.lost)
        prepared = Trial(op, "prepare", source, n_threads, patience)
        prepared.run(every)
    table = prepared.parts[0][1] if prepared.parts else op.prepare(source)
    scored = Trial(op, "score", table, n_threads, patience)
    scored.run(op.batches(table))
    return ShardResult(assemble(op.adds, table, scored.parts, scored.lost), scored.halved), source


@dataclass
class Trial:
    """Groups of rows through one phase of an Op, in child processes that may die."""

    op: Op
    phase: Phase
    table: pa.Table
    n_threads: int
    patience: Patience
    parts: list[tuple[np.ndarray, pa.Table]] = field(default_factory=list)
    lost: dict[int, str] = field(default_factory=dict)
    """Row -> why it has no part."""
    halved: int = 0
    _deaths: Counter[int] = field(default_factory=Counter)

    def run(self, groups: Sequence[np.ndarray]) -> None:
        """All groups; one that kills its child is cut in two, a single row gets a second try."""
        left = deque(groups)
        while left:
            n_done, code = self._child(list(left))
            for _ in range(n_done):
                left.popleft()
            if not left:
                return
            killer = left.popleft()
            if len(killer) > 1:
                middle = len(killer) // 2
                left.extendleft((killer[middle:], killer[:middle]))
                continue
            row = int(killer[0])
            self._deaths[row] += 1
            if self._deaths[row] < 2:
                left.appendleft(killer)
            else:
                self.lost[row] = _reason(self.phase, code)

    def _child(self, groups: list[np.ndarray]) -> tuple[int, int]:
        """Groups done before the child ended, and its exit code: -N for signal N."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, self.op, self.phase, self.table, groups, self.n_threads)
        child = context.Process(target=_attempt, args=arguments, daemon=True)
        child.start()
        theirs.close()
        n_done, limit_s = 0, self.patience.setup_s
        try:
            while n_done < len(groups):
                if not ours.poll(limit_s):
                    child.kill()
                    break
                message = ours.recv()
                limit_s = self.patience.batch_s
                if message is not None:  # None: set up and about to begin
                    self._take(message)
                    n_done += 1
        except EOFError:  # it died
            pass
        finally:
            ours.close()
        child.join()
        return n_done, int(child.exitcode or 0)

    def _take(self, message: tuple[list[tuple[np.ndarray, pa.Table]], dict[int, str], int]) -> None:
        parts, failed, halved = message
        self.parts += parts
        self.lost |= failed
        self.halved += halved


def _attempt(pipe: Connection, op: Op, phase: Phase, table: pa.Table, groups: list[np.ndarray], n_threads: int) -> None:
    if phase == "score":
        op.setup(n_threads=n_threads)
    pipe.send(None)
    for rows in groups:
        if phase == "prepare":
            pipe.send(([(rows, op.prepare(table.take(rows)))], {}, 0))
        else:
            work = Work(op, table, lambda rows, cost, seconds: None)
            work.run(rows)
            pipe.send((work.parts, work.failed, work.halved))


def _reason(phase: Phase, code: int) -> str:
    what = {"prepare": "tokenizer", "score": "scorer"}[phase]
    return f"crashed the {what} (signal {-code})" if code < 0 else f"crashed the {what} (exit code {code})"
