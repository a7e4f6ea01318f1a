import math
from decimal import Decimal

import pyarrow as pa
import pytest

from raypipe.corpus.rows import as_string
from raypipe.corpus.values import column, comparable, python_values

NAN = math.nan


def without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {name: without_nan(below) for name, below in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


@pytest.mark.parametrize(
    "kind",
    [
        pa.float64(),
        pa.struct([("a", pa.float32()), ("b", pa.struct([("c", pa.float64())]))]),
        pa.list_(pa.float64()),
        pa.large_list(pa.struct([("a", pa.float64())])),
        pa.list_(pa.float64(), 2),
        pa.struct([("l", pa.list_(pa.list_(pa.float64())))]),
    ],
    ids=str,
)
@pytest.mark.parametrize("start", [0, 1, 3])
def test_nan_is_null_at_any_depth_and_in_any_slice(kind: pa.DataType, start: int):
    values = {
        "double": [1.0, NAN, None, 2.0, NAN],
        "struct<a: float, b: struct<c: double>>": [
            {"a": NAN, "b": {"c": 1.0}},
            None,
            {"a": 1.0, "b": None},
            {"a": None, "b": {"c": NAN}},
        ],
        "fixed_size_list<item: double>[2]": [[NAN, 1.0], None, [2.0, NAN], [None, 3.0], [NAN, NAN]],
        "list<item: double>": [[NAN, 1.0], None, [], [2.0], [NAN]],
        "large_list<item: struct<a: double>>": [[{"a": NAN}, None], None, [], [{"a": 2.0}], [{"a": NAN}]],
        "struct<l: list<item: list<item: double>>>": [{"l": [[NAN], [1.0]]}, None, {"l": None}, {"l": [None, [NAN]]}],
    }[str(kind)]
    array = pa.array(values, kind)[start:]
    found = comparable(array)
    found.validate(full=True)
    assert found.to_pylist() == without_nan(array.to_pylist())


def test_an_id_is_written_as_people_write_it():
    storage = pa.array([bytes(15) + b"\1", None], pa.binary(16))
    table = pa.record_batch(
        {
            "uuid": pa.ExtensionArray.from_storage(pa.uuid(), storage),
            "in": pa.StructArray.from_arrays([pa.ExtensionArray.from_storage(pa.uuid(), storage)], ["uuid"]),
            "bytes": pa.array([b"\xff\0", b"text"]),
            "decimal": pa.array([Decimal("1E+3"), Decimal("1.50")], pa.decimal128(9, 2)),
            "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None])),
            "dictionary": pa.array(["x", "y"], pa.string_view()).cast(pa.string()).dictionary_encode(),
            "view": pa.array([b"\xaa", b"y"], pa.binary_view()),
        }
    )
    found = {
        name: [as_string(value) for value in python_values(column(table, name))]
        for name in ("uuid", "in.uuid", "bytes", "decimal", "json", "dictionary", "view")
    }
    assert found == {
        "uuid": ["00000000-0000-0000-0000-000000000001", None],
        "in.uuid": ["00000000-0000-0000-0000-000000000001", None],
        "bytes": ["ff00", "text"],
        "decimal": ["1000.00", "1.50"],
        "json": ['{"a":1}', None],
        "dictionary": ["x", "y"],
        "view": ["aa", "y"],
    }
