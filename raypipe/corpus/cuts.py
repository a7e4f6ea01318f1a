"""A Parquet file cut into row ranges: at its row groups, by the size of the texts in them.

The footer has the size of a column as it is encoded. Where texts come again and again they are in a dictionary once,
and a file of 100 kB may hold a gigabyte; there the lengths are looked up in the dictionary, which is read for it.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_AT_ONCE = 65_536
"""Rows whose lengths are looked up together."""

_ENTRY_BYTES = 16
"""Numbers of entries take less than so many bytes a row, texts take more."""


def row_groups(file: pq.ParquetFile, column: str, *, source: pa.NativeFile, shard_bytes: int) -> list[tuple[int, int]]:
    """Rows of each row group and the bytes of a column's values in it (of all columns, if it isn't found).

    Where a dictionary makes up the better part of a column, and more than a shard may come of it, it is read from
    `source` with the numbers of its entries.
    """
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    sizes = {i: _encoded_bytes(group, column) for i, group in enumerate(groups)}
    if sum(size * groups[i].num_rows for i, size in sizes.items()) > shard_bytes:  # as if each were all of them
        repeated = [i for i, group in enumerate(groups) if _is_mostly_dictionary(group, column)]
        for i, size in _looked_up(source, repeated, column) if repeated else ():
            sizes[i] = max(size, sizes[i])
    return [(group.num_rows, sizes[i]) for i, group in enumerate(groups)]


def _chunks(group: pq.RowGroupMetaData, column: str) -> list[pq.ColumnChunkMetaData]:
    chunks = (group.column(i) for i in range(group.num_columns))
    return [chunk for chunk in chunks if chunk.path_in_schema == column]


def _encoded_bytes(group: pq.RowGroupMetaData, column: str) -> int:
    chunks = _chunks(group, column)
    return sum(chunk.total_uncompressed_size for chunk in chunks) if chunks else group.total_byte_size


def _is_mostly_dictionary(group: pq.RowGroupMetaData, column: str) -> bool:
    """Whether a column's values may be more than its size says.

    A writer gives its dictionary up for texts that are all different, and then what lies behind it is most of the
    column, and not a few bytes a row.
    """
    for chunk in _chunks(group, column):
        if any("DICTIONARY" in encoding for encoding in chunk.encodings):
            dictionary = chunk.data_page_offset - (chunk.dictionary_page_offset or chunk.data_page_offset)
            is_rest = 2 * dictionary >= chunk.total_compressed_size
            return bool(is_rest or chunk.total_uncompressed_size < _ENTRY_BYTES * group.num_rows)
    return False


def _looked_up(source: pa.NativeFile, groups: list[int], column: str) -> Iterator[tuple[int, int]]:
    """Row group and bytes of the values, from the dictionaries; nothing more once a part can't be read."""
    try:
        file = pq.ParquetFile(source, read_dictionary=[column], arrow_extensions_enabled=False)
        for i in groups:
            batches = file.iter_batches(_AT_ONCE, row_groups=[i], columns=[column])
            yield i, sum(_value_bytes(batch.column(0), column) for batch in batches)
    except (pa.ArrowException, OSError):  # whoever reads these rows will say so
        return


def _value_bytes(array: pa.Array, column: str) -> int:
    if pa.types.is_struct(array.type):
        array = pc.struct_field(array, column.split(".")[1:])
    if not isinstance(array, pa.DictionaryArray):  # of fixed length
        return int(array.nbytes)
    lengths = pc.binary_length(array.dictionary.cast(pa.large_binary()))
    return int(pc.sum(lengths.take(array.indices)).as_py() or 0)


def cut_groups(groups: Sequence[tuple[int, int]], shard_bytes: int) -> list[tuple[int, int]]:
    """Row ranges of about shard_bytes: whole row groups one after another, a bigger one sliced by rows.

    The ranges cover each row once; what they are follows from the footer and shard_bytes alone.
    """
    ranges: list[tuple[int, int]] = []
    start = row = n_bytes = 0
    for n_rows, size in groups:
        if n_bytes + size > shard_bytes and row > start:
            ranges.append((start, row))
            start, n_bytes = row, 0
        row, n_bytes = row + n_rows, n_bytes + size
        if size > shard_bytes:
            ranges += sliced(start, row, min(-(-size // shard_bytes), row - start))
            start, n_bytes = row, 0
    return [*ranges, (start, row)] if row > start else ranges


def sliced(start: int, stop: int, n: int) -> list[tuple[int, int]]:
    """The range in n parts whose lengths differ by at most 1."""
    bounds = [start + (stop - start) * i // n for i in range(n + 1)] if n else []
    return list(pairwise(bounds))
