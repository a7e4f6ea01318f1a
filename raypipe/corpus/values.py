"""Columns of Arrow as plain arrays, Python values and what DuckDB can compare, whatever type a file has them in."""

import uuid

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

_STRINGS = (types.is_string, types.is_large_string, types.is_string_view)
_BINARIES = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
_LISTS = (types.is_list, types.is_large_list, types.is_fixed_size_list)


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, without the dictionary around them; UUIDs, 8-bit booleans stay what they are."""
    kind = kind.value_type if types.is_dictionary(kind) else kind
    is_own = isinstance(kind, pa.UuidType | pa.Bool8Type)
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) and not is_own else kind


def is_string(kind: pa.DataType) -> bool:
    """Whether values of the type are strings."""
    return any(test(kind) for test in _STRINGS)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values of the type are strings or bytes, which may be UTF-8."""
    return is_string(kind) or any(test(kind) for test in _BINARIES)


def column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column of a batch, or the field b of the struct a for `a.b`, without the dictionary around it."""
    array = batch.column(name) if name in batch.schema.names else _nested(batch, name)
    return plain(array)


def _nested(batch: pa.RecordBatch, name: str) -> pa.Array:
    first, *rest = name.split(".")
    return pc.struct_field(batch.column(first), rest)


def plain(array: pa.Array) -> pa.Array:
    """The array without a dictionary, and as its storage where its extension type doesn't change a value."""
    if isinstance(array, pa.ExtensionArray) and value_type(array.type) != array.type:
        array = array.storage
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def python_values(array: pa.Array) -> list[object]:
    """The values of a plain array as an id or a domain is made of them.

    Strings come as bytes, for they may not be the UTF-8 that the file says; bytes that are no visible text as
    hexadecimal digits, UUIDs as such, and times as strings, for nanoseconds have no Python value.
    """
    if isinstance(array.type, pa.UuidType):
        return [None if value is None else uuid.UUID(bytes=value) for value in array.storage.to_pylist()]
    if is_string(array.type):
        return list(array.cast(pa.large_binary()).to_pylist())
    if is_bytes(array.type):
        return [None if value is None else _text_or_hex(value) for value in array.to_pylist()]
    if types.is_temporal(array.type):
        array = array.cast(pa.string())
    return list(array.to_pylist())


def cell_values(array: pa.Array) -> list[object]:
    """The values of a plain array as those of a JSON object would be.

    A string that isn't the UTF-8 that the file says has surrogates, so that it is told as such; bytes that are UTF-8
    are strings.
    """
    kind = array.type
    if is_string(kind):
        raw = array.cast(pa.large_binary()).to_pylist()
        return [None if value is None else value.decode("utf-8", "surrogateescape") for value in raw]
    if is_bytes(kind):
        return [_decoded(value) for value in array.to_pylist()]
    return list(array.to_pylist()) if types.is_nested(kind) else python_values(array)


def _decoded(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value


def _text_or_hex(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def comparable(array: pa.Array) -> pa.Array:
    """The array as SQL compares it: NaN is null, at any depth, and types that DuckDB or `take` lack are their like."""
    kind = array.type
    if types.is_floating(kind):
        array = array.cast(pa.float32()) if types.is_float16(kind) else array
        return pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return array.cast(pa.large_string() if types.is_string_view(kind) else pa.large_binary())
    if types.is_struct(kind) and kind.num_fields:
        fields = [comparable(array.field(i)) for i in range(kind.num_fields)]
        return pa.StructArray.from_arrays(fields, [field.name for field in kind], mask=array.is_null())
    if any(test(kind) for test in _LISTS):
        return _comparable_list(array)
    return array


def _comparable_list(array: pa.Array) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
    stops = pc.cumulative_sum(lengths)
    starts = pa.concat_arrays([pa.array([0], pa.int64()), stops])
    return pa.LargeListArray.from_arrays(starts, comparable(array.flatten()), mask=array.is_null())


def comparable_table(table: pa.Table) -> pa.Table:
    """The table with every column `comparable`."""
    columns = [comparable(one.combine_chunks()) for one in table.columns]
    return pa.table(columns, table.schema.names)
