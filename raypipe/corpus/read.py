"""Shards read as tables of `columns.SOURCE`: one row for each row of the source, in order."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

import pyarrow as pa

from raypipe.corpus.files import Files
from raypipe.corpus.lines import lines_table, shard_lines
from raypipe.corpus.parquet import read_rows
from raypipe.corpus.shards import Corpus, Shard
from raypipe.corpus.where import Condition


def read_shard(corpus: Corpus, shard: Shard) -> pa.Table:
    """The rows of a shard of Parquet or plain JSON lines.

    Raises
    ------
    UnreadableFile
        If the file can't be read, or was rewritten since it was planned.
    ValueError
        If it is a stream.
    """
    if shard.cut == "part":
        raise ValueError(f"{shard.path} is a stream; read it with read_stream.")
    condition = _condition(corpus)
    with Files().open_unchanged(shard) as file:
        if shard.cut == "rows":
            return read_rows(corpus, shard, file, condition=condition)
        lines = shard_lines(file, shard, max_bytes=corpus.max_line_bytes)
        return lines_table(corpus, shard, lines, condition=condition)


def read_stream(
    corpus: Corpus, shard: Shard, *, part_rows: int, done: frozenset[int] = frozenset()
) -> Iterator[tuple[Shard, bool, pa.Table]]:
    """The parts of a compressed stream or of a JSON array: each as a shard, whether it is the last, and its rows.

    A part has part_rows rows, the last one the rest; a stream without rows has one part. Parts that start at a row in
    `done` are decompressed and left out. Where the stream breaks, a last row says so.

    Raises
    ------
    UnreadableFile
        If the file can't be read, or was rewritten since it was planned.
    ValueError
        If it is no stream.
    """
    if shard.cut != "part":
        raise ValueError(f"{shard.path} is no stream; read it with read_shard.")
    condition = _condition(corpus)
    with Files().open_unchanged(shard) as file:
        lines = shard_lines(file, shard, max_bytes=corpus.max_line_bytes)
        start, ahead = 0, next(lines, None)
        while start == 0 or ahead is not None:
            rows = islice(chain([] if ahead is None else [ahead], lines), part_rows)
            part = replace(shard, start=start, max_rows=None)
            table = None if start in done else lines_table(corpus, part, rows, condition=condition)
            stop = start + (sum(1 for _ in rows) if table is None else table.num_rows)
            ahead = next(lines, None)  # tells whether this part is the last
            if table is not None:
                yield replace(part, stop=stop, n_rows=stop - start), ahead is None, table
            start = stop
            if ahead is None:
                return


def _condition(corpus: Corpus) -> Condition | None:
    return Condition(corpus.where) if corpus.where is not None else None
