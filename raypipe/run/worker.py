"""What runs in the pools: readers prepare shards ahead of the device, workers take them through the Op."""

import errno
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.columns import KEYS
from raypipe.contracts.op import Op
from raypipe.corpus import Corpus, Shard, UnreadableFile, read_shard, read_stream
from raypipe.corpus.stages import Files, Joined, Mismatch
from raypipe.models.causal import DeviceLost
from raypipe.run.commit import commit, file_name
from raypipe.run.exits import end_in_time
from raypipe.run.ledger import MAX_DEATHS, TICK_S, Identity
from raypipe.run.rows import BrokenOp, prepare, through
from raypipe.storage.folder import Folder

REPORT_EVERY_S = 0.5

# A shard on its way to a worker: one row of this, so that it is never bundled with another or cut.
READ = pa.schema(
    [("shard", pa.string()), ("name", pa.string()), ("keys", pa.large_binary()), ("prepared", pa.large_binary()),
     ("trouble", pa.string())]
)  # fmt: skip
# What a worker hands to the driver: name of the file, what became of the shard, and the details as JSON.
OUTCOMES = pa.schema([("name", pa.string()), ("outcome", pa.string()), ("detail", pa.string())])

DONE, ALREADY, POISON, STOPPED = "done", "already", "poison", "stopped"
UNREADABLE, STORAGE, FULL, BROKEN, MISMATCH = "unreadable", "storage", "storage full", "broken", "mismatch"


@dataclass(frozen=True)
class Reader:
    """Reads and prepares shards on CPUs, ahead of the workers, one at a time: a block is never whole in memory."""

    op: Op
    inputs: Joined
    ledger: Any

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        """Rows of (shard JSON, starts already done, its files of stages) -> a READ row for each shard left to do."""
        import ray

        who = Identity.of_this_process()
        with sign_of_life(self.ledger, who):
            for row in block.to_pylist():
                shard = Shard(**json.loads(row["shard"]))
                attempt = ray.get(self.ledger.read_begins.remote(who, shard.key))
                if attempt is None:
                    return
                done, files = frozenset(row["done"] or []), json.loads(row["files"])
                is_poison = attempt > MAX_DEATHS
                for read in [trouble(shard, POISON)] if is_poison else self._read(shard, files, done):
                    self.ledger.read_waits.remote(who)
                    yield read  # Ray Data resumes us when there is room for more
                    self.ledger.read_goes_on.remote(who, shard.key)
                self.ledger.read_done.remote(who, shard.key)

    def _read(self, shard: Shard, files: Files, done: frozenset[int]) -> Iterator[pa.Table]:
        try:
            for part, is_last, table in self.inputs.parts(shard, files, done=done):
                yield ready(part, file_name(part, is_last=is_last), table, prepare(self.op, table))
        except Mismatch as error:
            yield trouble(shard, f"{MISMATCH}: {error}")
        except BrokenOp as error:
            yield trouble(shard, f"{BROKEN}: {error}")
        except OSError as error:
            yield trouble(shard, f"{trouble_of(error)}: {error}")
        except Exception as error:  # one file that surprises the reader is set aside; it must not end the job
            yield trouble(shard, f"{UNREADABLE}: {type(error).__name__}: {error}")


@contextmanager
def sign_of_life(ledger: Any, who: Identity) -> Iterator[None]:
    """Tell the ledger every few seconds that this process isn't stopped, also while it has nothing to do."""
    end_in_time()
    ended = threading.Event()

    def tick() -> None:
        """The signs, until the block is left."""
        while not ended.wait(TICK_S):
            ledger.alive.remote(who)

    threading.Thread(target=tick, daemon=True, name="sign of life").start()
    try:
        yield
    finally:
        ended.set()


def parts(
    corpus: Corpus, shard: Shard, *, part_rows: int, done: frozenset[int] = frozenset()
) -> Iterator[tuple[Shard, bool, pa.Table]]:
    """What a planned shard turns into: itself, or the parts of a compressed stream; and whether each is the last."""
    if shard.cut != "part":
        yield shard, True, read_shard(corpus, shard)
    else:
        yield from read_stream(corpus, shard, part_rows=part_rows, done=done)


def ready(shard: Shard, name: str, source: pa.Table, prepared: pa.Table) -> pa.Table:
    """A READ row of a shard that was read."""
    return _read_row(shard, name, pack_table(source.select(KEYS.names)), pack_table(prepared), None)


def trouble(shard: Shard, why: str) -> pa.Table:
    """A READ row of a shard that can't be read."""
    return _read_row(shard, file_name(shard, is_last=False), None, None, why)


def _read_row(shard: Shard, name: str, keys: pa.Buffer | None, prepared: pa.Buffer | None, why: str | None) -> pa.Table:
    columns = [[json.dumps(asdict(shard))], [name], _one_binary(keys), _one_binary(prepared), [why]]
    return pa.table(columns, schema=READ)


def _one_binary(value: pa.Buffer | None) -> pa.Array:
    """An array of one large binary that shares the buffer's memory."""
    if value is None:
        return pa.nulls(1, pa.large_binary())
    offsets = pa.py_buffer(np.array([0, value.size], dtype=np.int64))
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, value])


def pack_table(table: pa.Table) -> pa.Buffer:
    """A table as one buffer in Arrow's stream format."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def unpack_table(packed: pa.LargeBinaryScalar) -> pa.Table:
    """The table of a buffer, without a copy."""
    return pa.ipc.open_stream(packed.as_buffer()).read_all().combine_chunks()


class Worker:
    """A place in the pool: loads the Op once, then takes shards through it and commits their files."""

    def __init__(self, op: Op, folder: Folder, ledger: Any, n_threads: int, identity: str = "") -> None:
        import ray

        self.op, self.folder, self.ledger, self.identity = op, folder, ledger, identity
        self.who = Identity.of_this_process()
        ray.get(ledger.hello.remote(self.who))
        # Ray calls __init__ and __call__ in different threads, each of which would get OpenMP threads of its own:
        # twice as many as cores, and then OpenMP lets them sleep at every barrier
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="op")
        self._thread.submit(self.op.setup, n_threads=n_threads).result()
        self.ledger.ready.remote(self.who)
        self._unreported, self._reported = (0, 0.0), 0.0
        self._idle_since = time.monotonic()
        self._life = sign_of_life(ledger, self.who)
        self._life.__enter__()  # for as long as the process lives

    def __call__(self, rows: pa.Table) -> pa.Table:
        """READ rows -> OUTCOMES rows. A retried block finds its finished shards committed."""
        outcomes = [self._shard({name: rows[name][at] for name in READ.names}) for at in range(len(rows))]
        return pa.Table.from_pylist(outcomes, schema=OUTCOMES)

    def _shard(self, row: dict[str, Any]) -> dict[str, str]:
        import ray

        name, shard = row["name"].as_py(), Shard(**json.loads(row["shard"].as_py()))
        detail = {"shard": asdict(shard)}
        if (why := row["trouble"].as_py()) is not None:
            kind, _, said = why.partition(": ")
            return outcome(name, kind, {**detail, "why": said})
        attempt = ray.get(self.ledger.begin.remote(self.who, shard.key))
        if attempt is None:
            return outcome(name, STOPPED, detail)
        if attempt == 0:  # this node is about to be taken away; Ray starts us anew on another and gives it the shard
            os.kill(os.getpid(), signal.SIGKILL)
        if attempt > MAX_DEATHS:
            self.ledger.done.remote(self.who, shard.key)
            return outcome(name, POISON, detail)
        try:
            if self.folder.exists(name):
                return outcome(name, ALREADY, detail)
            return outcome(name, DONE, {**detail, **self._score(shard, name, row)})
        except BrokenOp as error:
            return outcome(name, BROKEN, {**detail, "why": str(error)})
        except DeviceLost:  # any later batch here would fail as well: to end counts as a crash, with all that follows
            os.kill(os.getpid(), signal.SIGKILL)
            raise
        except OSError as error:
            return outcome(name, trouble_of(error), {**detail, "why": str(error)})
        finally:
            self.ledger.done.remote(self.who, shard.key)

    def _score(self, shard: Shard, name: str, row: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        waited_s = started - self._idle_since
        prepared = unpack_table(row["prepared"])
        result = self._thread.submit(through, self.op, prepared, report=self._report).result()
        busy_s = time.monotonic() - started
        keys = unpack_table(row["keys"])
        counts = commit(self.folder, name, shard=shard, source=keys, result=result, identity=self.identity)
        self._idle_since = time.monotonic()
        times = {"busy_s": busy_s, "waited_s": waited_s, "commit_s": self._idle_since - started - busy_s}
        return {"counts": counts, "at": time.time(), **times}

    def _report(self, rows: int, cost: int, seconds: float) -> None:
        """Between batches, at most twice a second: the ledger must not become the bottleneck of many small batches."""
        self._unreported = (self._unreported[0] + cost, max(self._unreported[1], seconds))
        if time.monotonic() - self._reported > REPORT_EVERY_S:
            self.ledger.report.remote(self.who, *self._unreported)
            self._unreported, self._reported = (0, 0.0), time.monotonic()


def trouble_of(error: OSError) -> str:
    """What an error of the storage means for the stage: one shard's trouble, or the end of all writing."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return FULL if is_full else UNREADABLE if isinstance(error, UnreadableFile) else STORAGE


def outcome(name: str, kind: str, detail: dict[str, Any]) -> dict[str, str]:
    """One row for the driver."""
    return {"name": name, "outcome": kind, "detail": json.dumps(detail)}
