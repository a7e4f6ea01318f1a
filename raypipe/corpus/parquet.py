"""Parquet files read by row ranges, and only in the columns needed."""

from difflib import get_close_matches

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from raypipe.corpus.partitions import partitions
from raypipe.corpus.rows import BATCH, as_string, joined, judge, reasons_of, source_table
from raypipe.corpus.shards import Corpus, Shard, UnreadableFile
from raypipe.corpus.values import cell_values, column, comparable_table, is_bytes, is_string, python_values, value_type
from raypipe.corpus.where import Condition

UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What pyarrow raises on a damaged file; the last where the name of a column is damaged."""

_BUFFER = 2**22


def check_columns(corpus: Corpus, schema: pa.Schema, *, path: str, named: bool) -> None:
    """See that the columns are there and have types that can be used; `named`: the source gives the domain.

    Raises
    ------
    KeyError
        If one is missing; with the nearest name.
    ValueError
        If the text is not of strings, or an id or a domain is a list or a struct.
    """
    text_type, *_ = (value_type(find_type(schema, name, path=path)) for name in corpus.text_columns)
    if corpus.template is None and not (is_bytes(text_type) or types.is_null(text_type)):
        strings = [field.name for field in schema if is_string(value_type(field.type))]
        raise ValueError(
            f"{path}: text column {corpus.text_column!r} has type {text_type}, not string; columns of strings: "
            f"{', '.join(map(repr, strings)) or 'none'}."
        )
    for name in (corpus.id_column, None if named else corpus.domain_column):
        if (
            name
            and name not in partitions(path)
            and types.is_nested(kind := value_type(find_type(schema, name, path=path)))
        ):
            raise ValueError(f"{path}: column {name!r} has type {kind}; name a field of it, such as '{name}.name'.")


def find_type(schema: pa.Schema, name: str, *, path: str) -> pa.DataType:
    """The type of a column, or of `a.b`, the field b of the struct a.

    Raises
    ------
    KeyError
        If it isn't there; the message has the nearest name.
    ValueError
        If there are two of that name.
    """
    if schema.names.count(name) > 1:
        raise ValueError(f"{path} has {schema.names.count(name)} columns named {name!r}; rename all but one.")
    if name in schema.names:
        return schema.field(name).type
    kind: pa.DataType = pa.struct(list(schema))
    for part in name.split("."):
        if not types.is_struct(kind) or kind.get_field_index(part) < 0:
            there = [*schema.names, *partitions(path)]
            near = get_close_matches(name, there, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise KeyError(f"{path} has no column {name!r}; its columns are {there}{hint}")
        kind = kind.field(part).type
    return kind


def read_rows(corpus: Corpus, shard: Shard, file: pa.NativeFile, *, condition: Condition | None) -> pa.Table:
    """The rows of a shard; of its row groups one batch of rows is held beside the result.

    Raises
    ------
    UnreadableFile
        If the file is damaged.
    """
    stop = shard.stop if shard.max_rows is None else min(shard.stop, shard.start + shard.max_rows)
    try:
        parquet = pq.ParquetFile(file, buffer_size=_BUFFER, page_checksum_verification=True)
        condition = condition.of_path(shard.path) if condition else None
        position, groups = _overlapping(parquet.metadata, shard.start, stop)
        columns = _needed(corpus, shard, parquet.schema_arrow, condition)
        tables = []
        for batch in parquet.iter_batches(min(BATCH, stop - shard.start), row_groups=groups, columns=columns):
            low, high = max(shard.start - position, 0), min(stop - position, batch.num_rows)
            if low < high:
                tables.append(_batch_table(corpus, shard, batch.slice(low, high - low), position + low, condition))
            position += batch.num_rows
            if position >= stop:
                break
        if position < stop:
            raise OSError(f"it ends at row {position}")
    except UNREADABLE as error:
        raise UnreadableFile(f"{shard.uri}, rows {shard.start} to {stop}, can't be read: {error}") from error
    return joined(tables)


def _overlapping(metadata: pq.FileMetaData, start: int, stop: int) -> tuple[int, list[int]]:
    """The first row of the first row group that has rows in [start, stop), and all such groups."""
    row = first = 0
    groups: list[int] = []
    for i in range(metadata.num_row_groups):
        n_rows = metadata.row_group(i).num_rows
        if row < stop and row + n_rows > start:
            first = first if groups else row
            groups.append(i)
        row += n_rows
    return first, groups


def _needed(corpus: Corpus, shard: Shard, schema: pa.Schema, condition: Condition | None) -> list[str]:
    of_rows = {corpus.id_column, None if shard.domain else corpus.domain_column} - partitions(shard.path).keys()
    return sorted(
        {name for name in {*corpus.text_columns, *of_rows} if name}
        | set(condition.columns_of(schema) if condition else ())
    )


def _batch_table(
    corpus: Corpus, shard: Shard, batch: pa.RecordBatch, row: int, condition: Condition | None
) -> pa.Table:
    texts, reasons = _texts(batch, corpus)
    if condition is not None:
        alive = [i for i, reason in enumerate(reasons) if reason is None]
        named = batch.select(condition.columns_of(batch.schema))
        rows = comparable_table(pa.table(named)).take(alive)
        for i, reason in zip(alive, condition.of_table(rows, n_rows=len(alive)), strict=True):
            reasons[i] = reason
    ids = _strings(batch, shard, corpus.id_column) if corpus.id_column else [None] * len(reasons)
    domains: list[str | None] = [shard.domain or corpus.path_domain(shard.path)] * len(reasons)
    if shard.domain is None and corpus.domain_column is not None:
        domains = _strings(batch, shard, corpus.domain_column)
    return source_table(
        ids=[f"{shard.path}:{row + i}" if name is None else name for i, name in enumerate(ids)],
        domains=["unknown" if domain is None else domain for domain in domains],
        texts=texts,
        reasons=reasons,
    )


def _texts(batch: pa.RecordBatch, corpus: Corpus) -> tuple[pa.LargeBinaryArray, list[str | None]]:
    """A column's texts, or those of the template, judged, and the reasons for those that are none."""
    if (template := corpus.template) is not None:
        values = {name: cell_values(column(batch, name)) for name in template.columns}
        rows = (dict(zip(values, cells, strict=True)) for cells in zip(*values.values(), strict=True))
        judged = [template.judged(row) for row in rows]
        return pa.array([text for text, _ in judged], pa.large_binary()), [reason for _, reason in judged]
    array = column(batch, corpus.text_column)
    if is_bytes(array.type):
        array = array.cast(pa.large_binary())
        return array, reasons_of(array)
    judged = [judge(value) for value in array.to_pylist()]
    return pa.array([text for text, _ in judged], pa.large_binary()), [reason for _, reason in judged]


def _strings(batch: pa.RecordBatch, shard: Shard, name: str) -> list[str | None]:
    """The values of an id or a domain: the path's, or each row's own."""
    given = partitions(shard.path)
    if name in given:
        return [given[name]] * len(batch)
    return [as_string(value) for value in python_values(column(batch, name))]
