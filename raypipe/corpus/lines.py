"""Lines of JSON, and rows of other streams: cut at bytes, parsed, and put into tables."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

import pyarrow as pa

from raypipe.corpus.arrays import BOM, HEAD_BYTES, Line, array_elements, is_array
from raypipe.corpus.arrow_rows import arrow_rows
from raypipe.corpus.csv_rows import csv_rows
from raypipe.corpus.decompress import BrokenStream, decompressed
from raypipe.corpus.formats import format_of
from raypipe.corpus.partitions import partitions
from raypipe.corpus.rows import BATCH, as_string, joined, judge, source_table
from raypipe.corpus.shards import Corpus, Shard, UnreadableFile
from raypipe.corpus.warc_rows import warc_rows
from raypipe.corpus.where import Condition

UNPARSABLE = "unparsable"
_BLOCK, _TAIL = 2**20, 2**16
T = TypeVar("T")


def split_lines(pieces: Iterable[bytes], *, max_bytes: int, start: int = 0, stop: int | None = None) -> Iterator[Line]:
    """The lines of a byte stream that begin before `stop`; blank ones are none. `start` is the place of its first byte.

    Only a newline ends a line. One of more than max_bytes gives a reason and isn't held.
    """
    held: list[bytes] = []
    n_held = 0  # bytes of the open line so far, kept or not
    for piece in pieces:
        *ends, rest = piece.split(b"\n")
        for end in ends:
            yield from _line(start, n_held + len(end), (*held, end), max_bytes)
            start += n_held + len(end) + 1
            held, n_held = [], 0
            if stop is not None and start >= stop:
                return
        n_held += len(rest)
        if n_held > max_bytes:
            held = []
        elif rest:
            held.append(rest)  # a stream's pieces may be a few bytes: to copy the list for each would be quadratic
    yield from _line(start, n_held, held, max_bytes)


def _line(start: int, n_bytes: int, parts: Iterable[bytes], max_bytes: int) -> Iterator[Line]:
    if n_bytes > max_bytes:
        yield start, f"line over {max_bytes} bytes"
        return
    line = b"".join(parts)
    if start == 0:
        line = line.removeprefix(BOM)
    if line and not line.isspace():
        yield start, line


def lines_in(file: pa.NativeFile, start: int, stop: int, *, max_bytes: int) -> Iterator[Line]:
    """The lines of a plain file that begin in [start, stop)."""
    pieces, begin = _blocks(file, max(0, start - 1), stop), start
    if start > 0:
        begin = start - 1
        for piece in pieces:
            end = piece.find(b"\n")  # of the line that began before us; it may be longer than our whole range
            if end >= 0:
                begin, pieces = begin + end + 1, chain([piece[end + 1 :]], pieces)
                break
            begin += len(piece)
            if begin >= stop:
                return
    if begin < stop:
        yield from split_lines(pieces, max_bytes=max_bytes, start=begin, stop=stop)


def _blocks(file: pa.NativeFile, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` on; past `stop`, where only the rest of a line is wanted, first in small pieces."""
    file.seek(start)
    tail = _TAIL
    while block := file.read(min(_BLOCK, max(tail, stop - start))):
        tail = min(2 * tail, _BLOCK) if start >= stop else tail
        start += len(block)
        yield block


def stream_lines(file: pa.NativeFile, *, path: str, max_bytes: int) -> Iterator[Line]:
    """The lines of a compressed file, the elements of one that is a JSON array, the rows of another format.

    Where a stream breaks, one more with the reason "stream broken at byte N".
    """
    if (kind := format_of(path)) == "arrow":
        yield from arrow_rows(file)
        return
    n_bytes = 0

    def counted() -> Iterator[bytes]:
        """The pieces, counted: where the stream breaks is part of the reason."""
        nonlocal n_bytes
        for piece in decompressed(file, path=path):
            n_bytes += len(piece)
            yield piece

    try:
        if kind in ("csv", "tsv"):
            yield from csv_rows(counted(), delimiter="," if kind == "csv" else "\t", max_bytes=max_bytes)
            return
        if kind == "warc":
            yield from warc_rows(counted(), max_bytes=max_bytes)
            return
        head, pieces = _with_head(counted())
        split = array_elements if is_array(head) else split_lines
        yield from split(pieces, max_bytes=max_bytes)
    except BrokenStream:
        yield n_bytes, f"stream broken at byte {n_bytes}"


def _with_head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first HEAD_BYTES or so, and all the pieces; a break among them is raised in its place."""
    held: list[bytes] = []

    def again(broken: BrokenStream | None) -> Iterator[bytes]:
        """What was taken, and the rest."""
        yield from held
        if broken is not None:
            raise broken
        yield from pieces

    try:
        n_bytes = 0
        while n_bytes < HEAD_BYTES and (piece := next(pieces, None)) is not None:
            held.append(piece)
            n_bytes += len(piece)
    except BrokenStream as error:
        return b"".join(held), again(error)
    return b"".join(held), again(None)


def shard_lines(file: pa.NativeFile, shard: Shard, *, max_bytes: int) -> Iterator[Line]:
    """The lines of a shard of either cut, no more than its max_rows.

    Raises
    ------
    UnreadableFile
        If the storage fails.
    """
    if shard.cut == "part":
        lines = stream_lines(file, path=shard.path, max_bytes=max_bytes)
    else:
        lines = lines_in(file, shard.start, shard.stop, max_bytes=max_bytes)
    try:
        yield from islice(lines, shard.max_rows)
    except OSError as error:
        raise UnreadableFile(f"{shard.uri} can't be read: {error}") from error


def parse(line: bytes | str | dict[str, object]) -> tuple[dict[str, object], str | None]:
    """The JSON object of a line and None, or an empty one and the reason why there is none; a row is one already."""
    if isinstance(line, dict):
        return line, None
    if isinstance(line, str):
        return {}, line
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError:
        return {}, "not UTF-8"
    except (ValueError, RecursionError):
        return {}, UNPARSABLE
    return (record, None) if isinstance(record, dict) else ({}, UNPARSABLE)


def dig(record: dict[str, object], name: str) -> object:
    """The value of a key, or of `a.b` in the object of a; None where it is missing."""
    if name in record:
        return record[name]
    value: object = record
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def lines_table(corpus: Corpus, shard: Shard, lines: Iterable[Line], *, condition: Condition | None) -> pa.Table:
    """One row for each line. The rows of a part are numbered from the shard's start, those of a byte range by byte."""
    tables, n_rows = [], 0
    for batch in batched(lines, BATCH):
        numbers = [f"@{offset}" for offset, _ in batch]
        if shard.cut == "part":
            numbers = [str(shard.start + n_rows + i) for i in range(len(batch))]
        tables.append(_batch_table(corpus, shard, [parse(line) for _, line in batch], numbers, condition))
        n_rows += len(batch)
    return joined(tables)


def _batch_table(
    corpus: Corpus,
    shard: Shard,
    parsed: list[tuple[dict[str, object], str | None]],
    numbers: list[str],
    condition: Condition | None,
) -> pa.Table:
    records = [record for record, _ in parsed]
    judged = [(None, reason) if reason else _text_of(corpus, record) for record, reason in parsed]
    reasons = [reason for _, reason in judged]
    if condition is not None:
        alive = [i for i, reason in enumerate(reasons) if reason is None]
        kept = condition.of_path(shard.path)
        for i, reason in zip(alive, kept.of_records([records[i] for i in alive]), strict=True):
            reasons[i] = reason
    ids = _strings(records, shard, corpus.id_column) if corpus.id_column else [None] * len(records)
    return source_table(
        ids=[f"{shard.path}:{number}" if i is None else i for i, number in zip(ids, numbers, strict=True)],
        domains=_domains(corpus, shard, records),
        texts=[text for text, _ in judged],
        reasons=reasons,
    )


def _text_of(corpus: Corpus, record: dict[str, object]) -> tuple[bytes | None, str | None]:
    """A row's text, judged."""
    if (template := corpus.template) is None:
        return judge(dig(record, corpus.text_column))
    return template.judged(record)


def _domains(corpus: Corpus, shard: Shard, records: list[dict[str, object]]) -> list[str]:
    column = corpus.domain_column
    if shard.domain is not None or column is None:
        return [shard.domain or corpus.path_domain(shard.path)] * len(records)
    return ["unknown" if value is None else value for value in _strings(records, shard, column)]


def _strings(records: list[dict[str, object]], shard: Shard, name: str) -> list[str | None]:
    """The values of an id or a domain: the path's, or each record's own."""
    given = partitions(shard.path)
    if name in given:
        return [given[name]] * len(records)
    return [as_string(dig(record, name)) for record in records]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to `size` items."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
