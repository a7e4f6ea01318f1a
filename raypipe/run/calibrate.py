"""How fast one worker is on a sample of the corpus: what the size of a shard and a forecast follow from."""

import time
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import ray

from raypipe.corpus import Corpus, Plan, Shard
from raypipe.run.op import Op, Pool
from raypipe.run.stage import Sizes
from raypipe.run.worker import parts

SHARD_S = 30.0
"""Seconds of one worker's work that a shard should be."""

SAMPLE_SHARDS, SAMPLE_ROWS = 16, 256
MAX_MEASURED = 8
LIMIT_S = 40.0
MIN_SHARD_BYTES, MAX_SHARD_BYTES = 1 << 16, 1 << 29


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


def _rounded(value: float) -> int:
    scale = 10 ** max(0, len(str(int(value))) - 2)
    return int(round(value / scale) * scale)


def calibrate(op: Op, corpus: Corpus, plan: Plan, pool: Pool) -> Rate:
    """Measure with rows from the beginnings of shards all over the corpus, on the resources of a worker.

    Without GPUs workers share a machine's caches and memory, so that as many are measured side by side as will run.
    """
    step = max(1, len(plan) // SAMPLE_SHARDS)
    sampled = [replace(shard, max_rows=SAMPLE_ROWS) for shard in plan.shards[::step]]
    remote = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus, max_retries=0)(_measure)
    n_workers = 1 if pool.num_gpus else min(pool.max_workers, MAX_MEASURED)
    rates: list[Rate] = ray.get([remote.remote(op, corpus, sampled, pool.n_threads) for _ in range(n_workers)])
    return replace(rates[0], tokens_per_s=sum(rate.tokens_per_s for rate in rates) / n_workers)


def _measure(op: Op, corpus: Corpus, shards: list[Shard], n_threads: int) -> Rate:
    started = time.monotonic()
    op.setup(n_threads=n_threads)
    setup_s = time.monotonic() - started
    tables = [table.slice(0, SAMPLE_ROWS) for shard in shards for table in _first_part(corpus, shard)]
    source = pa.concat_tables(tables) if tables else None
    if source is None or not len(source):
        return Rate(0.0, 0, 0, 0, setup_s)
    prepared = op.prepare(source)
    batches = op.batches(prepared)
    if batches:
        op(prepared.take(batches[-1]))  # warm-up: first calls allocate and compile
    done, begun = 0, time.monotonic()
    for rows in batches:
        batch = prepared.take(rows)
        op(batch)
        done += op.cost(batch)
        if time.monotonic() - begun > LIMIT_S:
            break
    spent = time.monotonic() - begun
    text_bytes = int(pc.sum(source["n_bytes"]).as_py() or 0)
    return Rate(done / spent if done else 0.0, len(source), op.cost(prepared), text_bytes, setup_s)


def _first_part(corpus: Corpus, shard: Shard) -> list[pa.Table]:
    try:
        return [next(parts(corpus, shard, part_rows=SAMPLE_ROWS))[2]]
    except OSError:  # a file that can't be read is the run's to report
        return []
