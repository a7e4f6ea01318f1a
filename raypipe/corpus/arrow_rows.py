"""Rows of Arrow's own files: the file format (Feather too, of version 2) and the stream format, told by their content.

Buffers are checked before a value is read, for a damaged offset would lead anywhere in memory.
Cost: one batch of the file is held, and its rows as Python values.
"""

from collections.abc import Iterator

import pyarrow as pa

from raypipe.corpus.arrays import Line
from raypipe.corpus.values import cell_values, plain

MAGIC = b"ARROW1"
_AT_ONCE = 1024


def arrow_rows(file: pa.NativeFile) -> Iterator[Line]:
    """The rows, numbered, as `parse` gives those of JSON; where the file breaks a last row says so.

    Raises
    ------
    OSError
        If the storage fails, or the file is shorter than it says.
    """
    row = 0
    try:
        for batch in _batches(file):
            for start in range(0, batch.num_rows, _AT_ONCE):
                part = batch.slice(start, _AT_ONCE)
                columns = [cell_values(plain(column)) for column in part.columns]
                for cells in zip(*columns, strict=True):
                    yield row, dict(zip(part.schema.names, cells, strict=True))
                    row += 1
    except pa.ArrowException as error:
        if isinstance(error, OSError):
            raise
        yield row, f"stream broken at row {row}"


def _batches(file: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    head = file.read(len(MAGIC))
    file.seek(0)
    if not head:
        return
    if head == MAGIC:
        reader = pa.ipc.open_file(file)
        found = (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        found = iter(pa.ipc.open_stream(file))
    for batch in found:
        _checkable(batch).validate(full=True)
        yield batch


def _checkable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Strings as bytes: whether they are the UTF-8 that they should be is each row's own matter."""
    return pa.RecordBatch.from_arrays([_viewed(column) for column in batch.columns], names=batch.schema.names)


def _viewed(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        return array.view(pa.binary())
    return array.view(pa.large_binary()) if pa.types.is_large_string(array.type) else array
