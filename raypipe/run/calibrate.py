"""How fast one worker is on a sample of the corpus: what the size of a shard and a forecast follow from."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.contracts.op import Op, Pool
from raypipe.corpus import Corpus, Plan, Shard
from raypipe.run.exits import end_in_time
from raypipe.run.inputs import Sizes
from raypipe.run.worker import parts

SHARD_S = 30.0
"""Seconds of one worker's work that a shard should be."""

SAMPLE_SHARDS, SAMPLE_ROWS = 16, 256
MAX_MEASURED = 8
LIMIT_S = 40.0
MIN_SHARD_BYTES, MAX_SHARD_BYTES = 1 << 16, 1 << 29
SMALL_BYTES, SMALL_FOR_GPUS = 4 << 20, 64 << 20
"""Of a corpus: measuring would take as long as a good part of the work, and any cut does."""
PIECES = 8
"""Shards that each worker on a GPU gets of a small corpus."""


@dataclass(frozen=True)
class Rate:
    """What was measured on one worker."""

    tokens_per_s: float
    """Through the device, warm."""
    rows: int
    """Rows sampled, skipped ones too."""
    tokens: int
    """Tokens scored of those rows."""
    text_bytes: int
    """Bytes of text of those rows."""
    setup_s: float
    """Loading and warming up."""

    @property
    def sizes(self) -> Sizes:
        """The cut that gives a worker about SHARD_S seconds of work a shard; two digits, so that it reads well."""
        tokens = self.tokens_per_s * SHARD_S
        size = tokens * self.text_bytes / max(self.tokens, 1)
        rows = tokens * self.rows / max(self.tokens, 1)
        bounded = min(max(size, MIN_SHARD_BYTES), MAX_SHARD_BYTES)
        return Sizes(shard_bytes=_rounded(bounded), part_rows=_rounded(min(max(rows, 16), 10_000_000)))


def unmeasured(n_bytes: int, pool: Pool) -> Sizes | None:
    """The cut of a small corpus, which isn't worth measuring one for; None: it isn't small."""
    if n_bytes > (SMALL_FOR_GPUS if pool.num_gpus else SMALL_BYTES):
        return None
    wanted = n_bytes // (PIECES * pool.max_workers) if pool.num_gpus else 0
    size = _rounded(max(wanted, MIN_SHARD_BYTES))
    return Sizes(shard_bytes=size, part_rows=size // 4096)


def _rounded(value: float) -> int:
    scale = 10 ** max(0, len(str(int(value))) - 2)
    return int(round(value / scale) * scale)


def calibrate(ops: Sequence[Op], corpus: Corpus, plan: Plan, pool: Pool) -> list[Rate]:
    """Measure each Op with rows from the beginnings of shards all over the corpus, on the resources of a worker.

    Without GPUs workers share a machine's caches and memory, so that as many are measured side by side as will run.
    The Ops share LIMIT_S. One whose batches don't fit into memory has a rate of 0 tokens/s.

    What is scored here isn't kept: batches are a function of a shard and of the token budget, and both follow from
    this very measurement. The same rows lie in other batches later, which round in other places.
    """
    import ray

    remote = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus, max_retries=0)(_measure_all)
    n_workers = 1 if pool.num_gpus else min(pool.max_workers, MAX_MEASURED)
    shards = sampled_shards(plan)
    found: list[list[Rate]] = ray.get([remote.remote(ops, corpus, shards, pool.n_threads) for _ in range(n_workers)])
    return [
        replace(rates[0], tokens_per_s=sum(rate.tokens_per_s for rate in rates) / n_workers)
        for rates in zip(*found, strict=True)
    ]


def sampled_shards(plan: Plan) -> list[Shard]:
    """The beginnings of some shards all over the corpus."""
    n = min(len(plan), SAMPLE_SHARDS)
    return [replace(plan.shards[at * len(plan) // n], max_rows=SAMPLE_ROWS) for at in range(n)]


def sampled_rows(corpus: Corpus, shards: Sequence[Shard], *, rows: int = SAMPLE_ROWS) -> pa.Table | None:
    """columns.SOURCE of the first rows of these shards; None if none can be read."""
    tables = [table.slice(0, rows) for shard in shards for table in _first_part(corpus, shard)]
    return pa.concat_tables(tables) if tables else None


def _measure_all(ops: Sequence[Op], corpus: Corpus, shards: list[Shard], n_threads: int) -> list[Rate]:
    end_in_time()
    source = sampled_rows(corpus, shards)
    return [_measure(op, source, n_threads, limit_s=LIMIT_S / len(ops)) for op in ops]


def _measure(op: Op, source: pa.Table | None, n_threads: int, *, limit_s: float) -> Rate:
    started = time.monotonic()
    op.setup(n_threads=n_threads)
    setup_s = time.monotonic() - started
    if source is None or not len(source):
        return Rate(0.0, 0, 0, 0, setup_s)
    prepared = op.prepare(source)
    text_bytes = int(pc.sum(source["n_bytes"]).as_py() or 0)
    try:
        tokens_per_s = _speed(op, prepared, limit_s=limit_s)
    except MemoryError:
        tokens_per_s = 0.0
    return Rate(tokens_per_s, len(source), op.cost(prepared), text_bytes, setup_s)


def _speed(op: Op, prepared: pa.Table, *, limit_s: float) -> float:
    batches = op.batches(prepared)
    if not batches:
        return 0.0
    op(prepared.take(batches[-1]))  # warm-up: first calls allocate and compile
    done, begun = 0, time.monotonic()
    for rows in batches:
        batch = prepared.take(rows)
        op(batch)
        done += op.cost(batch)
        if time.monotonic() - begun > limit_s:
            break
    return done / (time.monotonic() - begun)


def _first_part(corpus: Corpus, shard: Shard) -> list[pa.Table]:
    try:
        return [next(parts(corpus, shard, part_rows=SAMPLE_ROWS))[2]]
    except OSError:  # a file that can't be read is the run's to report
        return []
