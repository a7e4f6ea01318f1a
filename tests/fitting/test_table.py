import numpy as np
import pyarrow as pa
import pytest

from raypipe.fitting.inputs import input_for, open_input
from raypipe.fitting.table import ColumnVectors, TableCells

TABLE = pa.table({
    "size": [1.0, None, 3.0], "colour": ["red", "blue", None], "vector": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
})  # fmt: skip
COLUMNS = ("size", "colour", "vector")


def test_numbers_categories_and_vectors_stand_side_by_side() -> None:
    fitted = ColumnVectors(COLUMNS).fit(TABLE)
    X, reasons = fitted.encode(TABLE)
    assert fitted.feature_names == ["size", "colour=blue", "colour=red", "vector[0]", "vector[1]"]
    assert X.tolist() == [[1, 0, 1, 1, 2], [0, 1, 0, 3, 4], [3, 0, 0, 5, 6]]
    assert reasons == [None, "no vector", None]


def test_an_unseen_category_is_none_of_the_seen_ones() -> None:
    other = pa.table({"size": [1.0], "colour": ["green"], "vector": [[0.0, 0.0]]})
    X, reasons = ColumnVectors(COLUMNS).fit(TABLE).encode(other)
    assert (X.tolist(), reasons) == ([[1, 0, 0, 0, 0]], [None])


def test_an_empty_cell_is_no_category_whether_it_was_an_empty_text_or_none() -> None:
    fitted = ColumnVectors(("colour",)).fit(pa.table({"colour": ["", "red", None]}))
    assert fitted.encode(pa.table({"colour": ["red", "", None]}))[0].tolist() == [[1], [0], [0]]


def test_cells_are_floats_texts_and_none() -> None:
    X, reasons = TableCells(("size", "colour")).fit(TABLE).encode(TABLE)
    assert X.tolist() == [[1.0, "red"], [None, "blue"], [3.0, None]]
    assert reasons == [None] * 3


@pytest.mark.parametrize("kind", [ColumnVectors, TableCells])
def test_what_was_learned_comes_back_from_its_state(kind: type) -> None:
    fitted = kind(("size", "colour")).fit(TABLE)
    again = open_input(fitted.about(), fitted.state())
    assert again.feature_names == fitted.feature_names
    assert again.encode(TABLE)[0].tolist() == fitted.encode(TABLE)[0].tolist()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": ["a"]}, "column 'size' must be of numbers, as the labelled rows had it, got string"),
        ({"colour": [2.0]}, "column 'colour' must be of categories, as the labelled rows had it, got double"),
        ({"vector": [[1.0]]}, "vectors of 'vector' must have 2 numbers, got 1"),
    ],
)
def test_columns_of_another_kind_are_refused(changed: dict, said: str) -> None:
    fitted = ColumnVectors(COLUMNS).fit(TABLE)
    rows = {"size": [1.0], "colour": ["red"], "vector": [[1.0, 2.0]], **changed}
    with pytest.raises(ValueError, match=said):
        fitted.encode(pa.table(rows))


def test_rows_without_any_vector_have_a_reason_each() -> None:
    fitted = ColumnVectors(("vector",)).fit(TABLE)
    X, reasons = fitted.encode(pa.table({"vector": pa.array([None, None], pa.list_(pa.float64()))}))
    assert (X.shape, reasons) == ((2, 2), ["no vector", "no vector"])


def test_more_categories_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="column 'name' must have 1 to 1000 categories, got 1,001"):
        ColumnVectors(("name",)).fit(pa.table({"name": [f"n{at}" for at in range(1001)]}))


@pytest.mark.parametrize(
    ("takes", "columns", "name"),
    [
        ("vectors", ("colour",), "words"),
        ("counts", ("colour",), "counts"),
        ("words or vectors", ("colour",), "counts"),
        ("words or vectors", ("size", "colour"), "columns"),
        ("vectors", ("size", "colour"), "columns"),
        ("table", ("size", "colour"), "cells"),
        ("vectors", ("vector",), "columns"),
    ],
)
def test_what_an_estimator_takes_and_what_there_is_say_how_it_is_fed(takes: str, columns: tuple, name: str) -> None:
    assert input_for(takes, TABLE, columns, n_dimensions=2).name == name


@pytest.mark.parametrize(("texts", "name"), [(["a b", "c d", "e f", "a b"], "words"), (["a", "b", "a", "b"], "cells")])
def test_texts_that_differ_are_no_categories_of_a_table(texts: list[str], name: str) -> None:
    assert input_for("table", pa.table({"text": texts}), ("text",), n_dimensions=2).name == name


def test_what_cannot_feed_is_refused() -> None:
    with pytest.raises(KeyError, match="no column 'colur'; they have size, colour, vector"):
        input_for("vectors", TABLE, ("colur",), n_dimensions=2)
    with pytest.raises(ValueError, match="a method of words must have one column of texts, got size"):
        input_for("counts", TABLE, ("size",), n_dimensions=2)
    with pytest.raises(ValueError, match="column 'vector' must be of numbers or categories"):
        TableCells(("vector",)).fit(TABLE)
    with pytest.raises(ValueError, match="words, counts, ngrams, columns, cells, sentences, sets, pooled, got 'os'"):
        open_input({"name": "os", "columns": []}, {})


def test_numbers_that_are_not_finite_have_a_reason() -> None:
    X, reasons = ColumnVectors(("size",)).fit(TABLE).encode(pa.table({"size": [np.inf, 1.0]}))
    assert np.isfinite(X).all()
    assert reasons == ["a vector with numbers that aren't finite", None]
