"""How the stage runner scales, with a scorer that only waits: python -m jobs.benchmark workers.

A shard is read and tokenised for real (Parquet, some 16 MiB of text) and then takes a fixed time, so that what is
measured is the runner: with 1, 2, 4 and 8 workers, with one worker ten times slower, and with more and more shards.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, ClassVar

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from raypipe.columns import REASON
from raypipe.corpus import Corpus
from raypipe.run.cluster import Wanted
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.storage.folder import Folder

from .processes import fresh_process

LINKS = 10_000
MIN_OF_LINEAR, MAX_OVER_IDEAL = 0.95, 1.25


@dataclass
class Waiting:
    """An Op whose shard takes `service_s` seconds, however large it is; the first of its processes may be slower."""

    service_s: float
    latency_s: float = 0.0
    """Added to each read and to each commit, as far storage would."""
    slow_times: float = 1.0
    """How much slower the process is that takes `claim` first."""
    claim: str = ""
    reads: ClassVar[tuple[str, ...]] = ("text", "n_bytes")
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "bytes"
    adds: ClassVar[pa.Schema] = pa.schema([("n_bytes", pa.int64()), ("waited_s", pa.float32())])
    padding: int = 0
    _times: float = field(default=1.0, init=False)

    def prepare(self, table: pa.Table) -> pa.Table:
        """All bytes of the text are here; only their number goes on."""
        time.sleep(self.latency_s)
        return table.select(["n_bytes", REASON])

    def setup(self, *, n_threads: int) -> None:
        """The process that makes the claim file is the slow one."""
        if self.slow_times > 1:
            try:
                os.close(os.open(self.claim, os.O_CREAT | os.O_EXCL))
                self._times = self.slow_times
            except FileExistsError:
                self._times = 1.0

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        """All rows at once."""
        return [np.arange(len(prepared))]

    def cost(self, prepared: pa.Table) -> int:
        """Bytes."""
        return int(pc.sum(prepared["n_bytes"]).as_py() or 0)

    def limits(self) -> dict[str, int]:
        """None: all rows are one batch."""
        return {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Wait."""
        time.sleep(self.service_s * self._times + self.latency_s)
        return pa.table({"waited_s": np.full(len(batch), self.service_s * self._times, dtype=np.float32)})


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured."""

    workers: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of workers."""
    shards_per_worker: int = 40
    """Shards for each of them, that count."""
    warm_up: int = 10
    """Shards for each of them before: until all readers and workers have loaded what they need."""
    service_s: float = 1.0
    """Seconds a shard takes."""
    shard_mib: int = 16
    """Text of a shard, in MiB, really read."""
    latency_s: float = 0.1
    """Storage latency of the second round; 0 leaves it out."""
    growth: tuple[int, ...] = ()
    """Numbers of shards of one row and no service time, for time and the driver's memory: 1000 10000 100000."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the tables; status 1 if a bar is missed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = folder / "text.parquet"
        text = "the quick brown fox jumps over the lazy dog " * 24
        pq.write_table(pa.table({"text": [text] * (config.shard_mib * 1024)}), source, row_group_size=1 << 20)
        rounds = [
            scaling(config, folder, source, latency_s=latency) for latency in dict.fromkeys((0.0, config.latency_s))
        ]
        slow = with_a_slow_worker(config, folder, source)
        # each in a process of its own: a second run would grow into what the first one left
        with fresh_process(max_tasks_per_child=1) as fresh:
            grown = list(fresh.map(partial(growth, folder), config.growth))
    show(rounds, slow, grown)
    result = {"scaling": rounds, "slow_worker": slow, "growth": grown}
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    linear = all(row["of_linear"] >= MIN_OF_LINEAR for rows in rounds for row in rows)
    return 0 if linear and slow["over_ideal"] <= MAX_OVER_IDEAL else 1


def scaling(config: Config, folder: Path, source: Path, *, latency_s: float) -> list[dict[str, float]]:
    """Shards a second by number of workers, once all are warm, against the first number's."""
    rows: list[dict[str, float]] = []
    for n_workers in config.workers:
        op = Waiting(config.service_s, latency_s=latency_s)
        n_shards, n_warm = n_workers * (config.warm_up + config.shards_per_worker), n_workers * config.warm_up
        times = _run(op, folder, source, n_workers=n_workers, n_shards=n_shards)
        rate = (n_shards - n_warm) / (times[-1] - times[n_warm - 1])
        each = rate / n_workers
        first = rows[0]["shards_per_s"] / rows[0]["workers"] if rows else each
        rows.append({"workers": n_workers, "latency_s": latency_s, "shards_per_s": rate, "of_linear": each / first})
        print(
            f"{n_workers} workers, latency {latency_s:g} s: {rate:.2f} shards/s, {each / first:.1%} of linear",
            flush=True,
        )
    return rows


def with_a_slow_worker(config: Config, folder: Path, source: Path) -> dict[str, float]:
    """The largest pool with one worker ten times slower: time over that of a perfect scheduler."""
    n_workers = max(config.workers)
    n_shards = n_workers * config.shards_per_worker
    op = Waiting(config.service_s, slow_times=10.0, claim=str(folder / "claim"))
    times = _run(op, folder, source, n_workers=n_workers, n_shards=n_shards)
    ideal = n_shards * config.service_s / (n_workers - 1 + 0.1)
    seconds = times[-1] - times[0] + config.service_s  # the first commit is one service time after the start
    return {"workers": n_workers, "seconds": seconds, "ideal_s": ideal, "over_ideal": seconds / ideal}


def growth(folder: Path, n_shards: int) -> dict[str, float]:
    """Seconds and growth of the driver's memory over a run of so many empty shards."""
    source = folder / "one.parquet"
    pq.write_table(pa.table({"text": ["a word"]}), source)
    with _peak_memory() as peak:
        before = psutil.Process().memory_info().rss
        started = time.monotonic()
        _run(Waiting(0.0), folder, source, n_workers=2, n_shards=n_shards)
        seconds = time.monotonic() - started
    grown = (max(peak) - before) / 2**20
    print(f"{n_shards:,} shards: {seconds:.0f} s, driver's memory grew by {grown:.0f} MiB", flush=True)
    return {"shards": n_shards, "seconds": seconds, "driver_growth_mib": grown}


def _run(op: Waiting, folder: Path, source: Path, *, n_workers: int, n_shards: int) -> list[float]:
    """When each shard was committed, in seconds, sorted."""
    corpus = folder / f"corpus-{time.monotonic_ns()}"
    corpus.mkdir()
    for at in range(n_shards):
        if at % LINKS == 0:  # a file system allows a file so many names, not more
            first = Path(shutil.copy(source, corpus / f"{at:06d}.parquet"))
        else:
            os.link(first, corpus / f"{at:06d}.parquet")
    run = Annotate(
        Folder(f"{corpus}-run"), "scores", op, Corpus(sources=(str(corpus),)),
        wanted=Wanted(n_workers, n_workers, 0.0, 0.25), sizes=Sizes(1 << 40, 1), identity={}, stopping=Event(),
    )  # fmt: skip
    run()
    return sorted(path.stat().st_mtime for path in Path(f"{corpus}-run/scores").glob("*.parquet"))


@contextmanager
def _peak_memory() -> Iterator[list[int]]:
    """Samples of this process's resident memory, in bytes, until the block ends."""
    samples, ended = [0], Event()

    def watch() -> None:
        """Take samples until the block ends."""
        while not ended.wait(0.5):
            samples.append(psutil.Process().memory_info().rss)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def show(rounds: list[list[dict[str, float]]], slow: dict[str, float], grown: list[dict[str, Any]]) -> None:
    """The tables, for a terminal."""
    table = Table("workers", "latency", "shards/s", "of linear", title="a shard of fixed service time, really read")
    for row in (row for rows in rounds for row in rows):
        cells = (f"{row['latency_s']:g} s", f"{row['shards_per_s']:.2f}", f"{row['of_linear']:.1%}")
        table.add_row(f"{row['workers']:.0f}", *cells)
    console = Console()
    console.print(table)
    console.print(f"one worker ten times slower: {slow['over_ideal']:.2f} x the ideal time (bar {MAX_OVER_IDEAL})")
    for row in grown:
        console.print(f"{row['shards']:,} shards: {row['seconds']:.0f} s, driver + {row['driver_growth_mib']:.0f} MiB")
