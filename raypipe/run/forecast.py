"""What scoring a corpus would take, from a plan and a minute of measuring."""

from dataclasses import dataclass, replace

import pyarrow as pa

from raypipe.corpus import Corpus, Plan, Shard, UnreadableFile
from raypipe.corpus.files import Files
from raypipe.corpus.lines import stream_lines
from raypipe.run.calibrate import Rate
from raypipe.run.worker import parts

SAMPLED = 16
SLICE_BYTES = 1 << 18
STREAM_BYTES = 1 << 20


@dataclass(frozen=True)
class Forecast:
    """Of one stage over a corpus; what is known exactly (rows of Parquet) isn't estimated."""

    rows: float
    tokens: float
    """Tokens that go through the model."""
    n_bytes: int
    """Of the files."""
    device_hours: float
    """Of workers like the one measured, start-up left out."""
    workers: int = 1
    """That share the work."""

    def lines(self, *, price_per_hour: float | None) -> list[str]:
        """For a terminal."""
        cost = [] if price_per_hour is None else [f"cost {self.device_hours * price_per_hour:,.2f}"]
        return [
            f"documents {self.rows:,.0f}",
            f"tokens {self.tokens:,.0f}",
            f"bytes {self.n_bytes:,}",
            f"device-hours {self.device_hours:,.3f}",
            f"hours {self.device_hours / self.workers:,.3f} with {self.workers} workers",
            *cost,
        ]


def forecast(corpus: Corpus, plan: Plan, rate: Rate, *, workers: int = 1) -> Forecast:
    """Rows from footers, and where there are none from slices all over the files; tokens and time as in the sample.

    Raises
    ------
    ValueError
        If the sample had no row that can be scored.
    """
    if not rate.tokens or not rate.tokens_per_s:
        raise ValueError(f"none of the {rate.rows} rows sampled can be scored; nothing can be forecast from them.")
    rows = _rows(corpus, plan)
    tokens = rows * rate.tokens / rate.rows
    return Forecast(rows, tokens, plan.n_bytes, tokens / rate.tokens_per_s / 3600, workers)


def _rows(corpus: Corpus, plan: Plan) -> float:
    exact = sum(shard.n_rows or 0 for shard in plan.shards)
    unknown = [shard for shard in plan.shards if shard.n_rows is None and shard.broken is None]
    lines = [shard for shard in unknown if shard.cut == "bytes"]
    streams = [shard for shard in unknown if shard.cut == "part"]
    return exact + _rows_of_lines(corpus, lines) + _rows_of_streams(corpus, streams)


def _rows_of_lines(corpus: Corpus, shards: list[Shard]) -> float:
    """Rows of plain JSON lines: counted in slices from the beginnings of shards, and in proportion to bytes."""
    read = counted = 0
    for shard in shards[:: max(1, len(shards) // SAMPLED)]:
        piece = replace(shard, stop=min(shard.stop, shard.start + SLICE_BYTES))
        counted += sum(len(table) for table in _tables(corpus, piece))
        read += piece.stop - piece.start
    return counted / read * sum(shard.stop - shard.start for shard in shards) if read else 0.0


def _rows_of_streams(corpus: Corpus, shards: list[Shard]) -> float:
    """Rows of compressed streams and of arrays: those in the beginnings of some, in proportion to the files' bytes."""
    rows = read = 0
    files = Files()
    for shard in shards[:: max(1, len(shards) // SAMPLED)]:
        with files.open_unchanged(shard) as file:
            head = file.read(STREAM_BYTES)
        found = stream_lines(pa.BufferReader(head), path=shard.path, max_bytes=corpus.max_line_bytes)
        rows += sum(isinstance(row, bytes) for _, row in found)  # the last one is broken where the beginning ends
        read += len(head)
    sizes = sum(int(shard.fingerprint.split("-")[0]) for shard in shards)
    return sizes * rows / read if read else 0.0


def _tables(corpus: Corpus, shard: Shard) -> list[pa.Table]:
    try:
        return [next(parts(corpus, shard, part_rows=1))[2]]
    except UnreadableFile:  # the run's to report
        return []
