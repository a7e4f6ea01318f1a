"""What scoring a corpus would take, from a plan and a minute of measuring."""

import zlib
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import TEXT
from raypipe.corpus import Corpus, Plan, Shard, UnreadableFile
from raypipe.run.calibrate import Rate
from raypipe.run.worker import parts

SAMPLED = 16
SLICE_BYTES = 1 << 18
PART_ROWS = 256


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

    def lines(self, *, price_per_hour: float | None) -> list[str]:
        """For a terminal."""
        cost = [] if price_per_hour is None else [f"cost {self.device_hours * price_per_hour:,.2f}"]
        return [
            f"documents {self.rows:,.0f}",
            f"tokens {self.tokens:,.0f}",
            f"bytes {self.n_bytes:,}",
            f"device-hours {self.device_hours:,.3f}",
            *cost,
        ]


def forecast(corpus: Corpus, plan: Plan, rate: Rate) -> Forecast:
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
    return Forecast(rows, tokens, plan.n_bytes, tokens / rate.tokens_per_s / 3600)


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
    """Rows of compressed streams: their sizes over what sampled rows take up, compressed as zlib would."""
    rows = packed = 0
    for shard in shards[:: max(1, len(shards) // SAMPLED)]:
        for table in _tables(corpus, shard):
            rows += len(table)
            texts = pc.fill_null(table[TEXT], "").to_pylist()
            packed += len(zlib.compress("\n".join(texts).encode()))
    sizes = sum(int(shard.fingerprint.split("-")[0]) for shard in shards)
    return sizes * rows / packed if packed else 0.0


def _tables(corpus: Corpus, shard: Shard) -> list[pa.Table]:
    try:
        return [next(parts(corpus, shard, part_rows=PART_ROWS))[2]]
    except UnreadableFile:  # the run's to report
        return []
