"""A shard's file: how it is named, written in one step, and counted again from its footer."""

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.columns import KEYS, REASON
from raypipe.corpus import Shard
from raypipe.corpus.shards import LAST
from raypipe.run.pieces import PIECES, exploded
from raypipe.run.rows import ShardResult
from raypipe.runs.files import FILE_IDENTITY
from raypipe.storage.folder import Folder

SUFFIX = ".parquet"
OPS_FAULT = ("failed: ", "out of memory ", "crashed the ", "hung the ", "broke the device")
"""How the reasons begin of documents that made the Op fail, as against rows that it was never asked to score."""
READERS = 16
AT_ONCE = 1024
"""Footers asked for at once: one that waits is two kilobytes of the driver's memory, and a stage may have a million."""


def file_name(shard: Shard, *, is_last: bool) -> str:
    """The name of a shard's file; the last part of a compressed stream says so: a listing alone is the state."""
    return shard.key + (LAST if shard.cut == "part" and is_last else SUFFIX)


def commit(
    folder: Folder, name: str, *, shard: Shard, source: pa.Table, result: ShardResult, identity: str = ""
) -> dict[str, Any]:
    """Put the file of a shard in one step and return its counts.

    `source` gives the keys of its rows, `identity` is the hash of the card that the file belongs to.
    """
    table = _rows(source, result.table)
    counts = count(result) | ({"written": len(table)} if PIECES in result.table.column_names else {})
    where = {field: value for field, value in asdict(shard).items() if field != "uri"}
    metadata = {
        "raypipe.source_path": shard.path,
        "raypipe.start": str(shard.start),
        "raypipe.shard": json.dumps({**where, "uri": shard.uri}, sort_keys=True),
        FILE_IDENTITY: identity,
        "raypipe.counts": json.dumps(counts, sort_keys=True),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd")
    folder.write(name, sink.getvalue())
    return counts


def _rows(source: pa.Table, result: pa.Table) -> pa.Table:
    """The keys and what was computed of each row; of a rewrite the rows that came of them."""
    if PIECES in result.column_names:
        return exploded(source, result[PIECES].combine_chunks())
    table = source.select(KEYS.names)
    for column in result.schema:
        table = table.append_column(column, result[column.name])
    return table


def count(result: ShardResult) -> dict[str, Any]:
    """Rows, rows by outcome, tokens, cost: what accounting adds up."""
    table = result.table
    reasons = Counter(reason for reason in table[REASON].to_pylist() if reason is not None)
    scored = pc.is_null(table[REASON])
    tokens = {
        name: _total(table, name, scored) for name in ("n_tokens", "n_tokens_total") if name in table.column_names
    }
    truncated = _total(table, "truncated", scored) if "truncated" in table.column_names else 0
    return {
        "rows": len(table),
        "scored": len(table) - reasons.total(),
        "skipped": dict(sorted(reasons.items())),
        "tokens": tokens.get("n_tokens", 0),
        "tokens_total": tokens.get("n_tokens_total", 0),
        "cost": result.cost,
        "truncated": truncated,
        "halved": result.halved,
        "padding": result.padding,
    }


def _total(table: pa.Table, name: str, rows: pa.ChunkedArray) -> int:
    return int(pc.sum(pc.cast(table[name].filter(rows), pa.int64())).as_py() or 0)


@dataclass
class Totals:
    """Counts of many shards added up."""

    shards: int = 0
    rows: int = 0
    """Of the inputs."""
    written: int = 0
    """Rows of the files: of a rewrite not as many."""
    scored: int = 0
    tokens: int = 0
    tokens_total: int = 0
    cost: int = 0
    """In the unit of the Op."""
    truncated: int = 0
    halved: int = 0
    padding: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, counts: dict[str, Any]) -> None:
        """One more shard."""
        self.shards += 1
        self.written += counts.get("written", counts["rows"])
        self.cost += counts.get("cost", counts["tokens"])  # files of before hold no other cost
        for name in ("rows", "scored", "tokens", "tokens_total", "truncated", "halved", "padding"):
            setattr(self, name, getattr(self, name) + counts[name])
        self.skipped.update(counts["skipped"])

    @property
    def failed(self) -> Counter[str]:
        """Documents that made the Op fail, by reason."""
        return Counter({why: n for why, n in self.skipped.items() if why.startswith(OPS_FAULT)})

    @property
    def padding_fraction(self) -> float:
        """Share of the positions computed that held no token."""
        return self.padding / (self.padding + self.tokens) if self.padding else 0.0

    def as_json(self) -> dict[str, Any]:
        """The counts for a card, reasons by falling number."""
        skipped = dict(self.skipped.most_common())
        return {**asdict(self), "skipped": skipped, "padding_fraction": self.padding_fraction}


def recount(folder: Folder, names: Iterable[str], *, identity: str | None = None) -> Totals:
    """The totals of committed files, from their footers alone.

    Raises
    ------
    ValueError
        If a footer's row count differs from what the shard's writer counted, or its file is of another `identity`.
    """

    def footer(name: str) -> dict[str, Any]:
        """What the writer of one file counted."""
        with folder.open(name) as file:
            metadata = pq.read_metadata(file)
        counts: dict[str, Any] = json.loads(metadata.metadata[b"raypipe.counts"])
        if identity is not None and metadata.metadata.get(FILE_IDENTITY, b"").decode() != identity:
            raise ValueError(
                f"{folder.uri}/{name} was made by other settings, or by an older raypipe, than the card beside it "
                "speaks of; delete the file, and the same command makes it anew."
            )
        wanted = counts.get("written", counts["rows"])
        if wanted != metadata.num_rows:
            raise ValueError(f"{name} must hold the {wanted} rows of its shard, got {metadata.num_rows}.")
        return counts

    totals, left = Totals(), iter(names)
    with ThreadPoolExecutor(READERS) as threads:
        while some := list(islice(left, AT_ONCE)):
            for counts in threads.map(footer, some):
                totals.add(counts)
    return totals
