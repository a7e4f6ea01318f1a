"""All columns of the rows of a corpus, one row after another: for what is learnt from rows, and not from a text alone.

The files, formats, conditions and reasons are those of `read_shard`; nothing is planned, and one batch is held.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from raypipe.corpus.files import Files
from raypipe.corpus.lines import batched, parse, stream_lines
from raypipe.corpus.parquet import UNREADABLE
from raypipe.corpus.partitions import partitions
from raypipe.corpus.peek import check_condition
from raypipe.corpus.rows import BATCH, NOT_UTF8
from raypipe.corpus.shards import UnreadableFile
from raypipe.corpus.sources import SourceFile, find_files
from raypipe.corpus.values import comparable_table, is_string, plain
from raypipe.corpus.where import Condition


@dataclass(frozen=True, slots=True)
class Record:
    """A row with its columns, or the reason why it is none."""

    path: str
    """Of its file, in the corpus."""
    row: int
    """Number in its file; blank lines are no rows."""
    values: dict[str, object]
    """The columns of its path (`lang=en/x.jsonl`) too."""
    reason: str | None = None
    """unparsable, filtered, and what else `read_shard` says of rows."""
    domain: str | None = None
    """NAME of its source."""


def read_records(
    sources: Sequence[str], *, where: str | None = None, max_line_bytes: int = 64 << 20
) -> Iterator[Record]:
    """Every row of Parquet, JSON lines and arrays at `[NAME=]URI`s of folders, globs and files, in their order.

    Raises
    ------
    FileNotFoundError
        If a source has no file that can be read.
    KeyError
        If the condition names a key that no row of JSON seems to have.
    UnreadableFile
        If a file is damaged.
    ValueError
        If a source or the condition can't be used.
    """
    condition = Condition(where) if where is not None else None
    found, files = find_files(tuple(sources))[0], Files()
    if condition is not None:
        condition.check_functions()
        check_condition(condition, found, max_line_bytes=max_line_bytes)
    for source in found:
        read = _parquet_rows if source.cut == "rows" else _line_rows
        kept = condition.of_path(source.path) if condition is not None else None
        try:
            yield from read(source, files, kept, max_line_bytes)
        except UNREADABLE as error:
            raise UnreadableFile(f"{source.uri} can't be read: {error}") from error


def _line_rows(source: SourceFile, files: Files, condition: Condition | None, max_bytes: int) -> Iterator[Record]:
    with files.open(source.uri) as file:
        lines, row = stream_lines(file, path=source.path, max_bytes=max_bytes), 0
        given = partitions(source.path)
        for batch in batched(lines, BATCH):
            parsed = [parse(line) for _, line in batch]
            reasons = [reason for _, reason in parsed]
            alive = [at for at, reason in enumerate(reasons) if reason is None]
            if condition is not None:
                for at, reason in zip(alive, condition.of_records([parsed[at][0] for at in alive]), strict=True):
                    reasons[at] = reason
            for (values, _), reason in zip(parsed, reasons, strict=True):
                yield Record(source.path, row, {**values, **given}, reason, source.domain)
                row += 1


def _parquet_rows(source: SourceFile, files: Files, condition: Condition | None, _: int) -> Iterator[Record]:
    with files.open(source.uri) as file:
        parquet = pq.ParquetFile(file, page_checksum_verification=True)
        if condition is not None:
            condition.check_schema(parquet.schema_arrow, path=source.path)
        row, given = 0, partitions(source.path)
        for batch in parquet.iter_batches(BATCH):
            reasons: list[str | None] = [None] * batch.num_rows
            if condition is not None:
                named = comparable_table(pa.table(batch.select(condition.columns_of(batch.schema))))
                reasons = condition.of_table(named, n_rows=batch.num_rows)
            names, columns = [*batch.schema.names, *given], [_values(array) for array in batch.columns]
            columns += [[value] * batch.num_rows for value in given.values()]
            for at, reason in enumerate(reasons):
                values = {
                    **dict(zip(names, (column[at] for column in columns), strict=True)),
                    **partitions(source.path),
                }
                broken = any(value is _BROKEN for value in values.values())
                yield Record(source.path, row, values, reason or (NOT_UTF8 if broken else None), source.domain)
                row += 1


_BROKEN = object()


def _values(array: pa.Array) -> list[object]:
    """Python's values; _BROKEN for a string that isn't the UTF-8 that the file says."""
    array = plain(array)
    if not is_string(array.type):
        return list(array.to_pylist())
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:
        return [_decoded(value) for value in array.cast(pa.large_binary()).to_pylist()]


def _decoded(value: bytes | None) -> object:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _BROKEN
