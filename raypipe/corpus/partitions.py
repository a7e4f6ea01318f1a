"""The columns that a path gives, as Hive, Spark, DuckDB and Arrow write them: `lang=en/year=2024/part-0.parquet`.

Of a path in the corpus only the folders count. A column of the path stands before one of that name in the file, as it
does for those.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote

import pyarrow as pa

Value = str | int | float | None
_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?\d{1,18}\.\d{1,18}([eE][+-]?\d{1,2})?")


@lru_cache(maxsize=4096)  # the shards and batches of a file come one after another
def partitions(path: str) -> Mapping[str, str | None]:
    """The columns of a path with their values as they are spelt, unquoted; null where Hive's name for it stands."""
    named = (part.partition("=") for part in path.split("/")[:-1])
    found = {unquote(name): None if value == _NULL else unquote(value) for name, equals, value in named if equals}
    return MappingProxyType({name: value for name, value in found.items() if name})


def as_number(value: str | None) -> Value:
    """A value that can be compared with numbers, if it is spelt like one: `01` is 1."""
    if value is None or value.isascii() is False:
        return value
    if _INTEGER.fullmatch(value):
        return int(value)
    return float(value) if _NUMBER.fullmatch(value) else value


def arrow_type(value: Value) -> pa.DataType:
    """The type of a value in a table."""
    return pa.int64() if isinstance(value, int) else pa.float64() if isinstance(value, float) else pa.string()
