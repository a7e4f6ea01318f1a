import numpy as np
import pyarrow as pa
import pytest

from raypipe.select.quantiles import ColumnQuantiles


def table(values: list[float | None], reasons: list[str | None] | None = None) -> pa.Table:
    return pa.table(
        {"s.x": pa.array(values, pa.float64()), "reason": pa.array(reasons or [None] * len(values), pa.string())}
    )


def of(*tables: pa.Table) -> ColumnQuantiles:
    made = ColumnQuantiles(("s.x",), (0.0, 0.5, 1.0))
    for one in tables:
        made.update(one)
    return made


def test_rows_with_a_reason_are_left_out_and_nulls_and_others_counted():
    said = of(table([1, 2, 3, None, float("nan"), 99], [None] * 5 + ["empty"])).result()["s.x"]
    assert said == {"n": 3, "not_finite": 1, "null": 1, "quantiles": {"0.0": 1.0, "0.5": 2.0, "1.0": 3.0}}


def test_parts_merged_in_any_way_are_the_whole_to_the_byte():
    values = np.random.default_rng(0).normal(size=200).tolist()
    whole = of(table(values))
    parts = [of(table(values[start : start + 33])) for start in range(0, 200, 33)]
    for order in (parts, parts[::-1]):
        merged = of()
        for part in order:
            merged.merge(part.from_state(part.state()))
        assert {name: array.tobytes() for name, array in merged.state().items()} == {
            name: array.tobytes() for name, array in whole.state().items()
        }
        assert merged.result() == whole.result()


def test_no_rows_have_no_quantiles():
    assert of().result()["s.x"]["quantiles"] == {"0.0": None, "0.5": None, "1.0": None}
    assert of(table([])).result()["s.x"]["n"] == 0


def test_a_column_of_texts_is_refused():
    with pytest.raises(pa.ArrowInvalid, match="Failed to parse"):
        of(pa.table({"s.x": ["a"], "reason": pa.array([None], pa.string())}))
