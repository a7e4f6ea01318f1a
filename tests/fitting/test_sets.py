"""Sets of vectors: end to end, from columns of lists, from sentences of texts; and what is refused."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.contracts.estimator import VectorSet
from raypipe.fitting.inputs import input_for, open_input
from raypipe.fitting.sets import end_to_end, names_of, parts_of

SETS = pa.table({"parts": pa.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]], None, [], [[None, 1.0]]])})
TEXTS = pa.table({"text": ["Heat the oven. Mix the flour!", "The team won.\nNobody scored twice", "", None]})


def column(*sets):
    X = np.empty(len(sets), object)
    for at, one in enumerate(sets):
        X[at] = one
    return X


def test_sets_stand_end_to_end_and_padding_is_no_part_of_them():
    found = end_to_end(column(np.array([[1, 2], [3, 4]]), VectorSet(np.array([[5, 6]]))))
    assert (found.vectors.tolist(), found.starts.tolist()) == ([[1, 2], [3, 4], [5, 6]], [0, 2])
    padded = np.array([[[1, 2], [3, 4]], [[5, 6], [np.nan, np.nan]]])
    assert end_to_end(padded).vectors.tolist() == found.vectors.tolist()
    assert end_to_end(padded).starts.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (column(), "there must be a set, got none"),
        (column(np.ones((1, 2)), np.ones((0, 2))), r"that of row 1 has the shape \(0, 2\)"),
        (column(np.ones((1, 2)), np.ones((1, 3))), "of one length, got 2 and, in row 1, 3"),
        (np.array([[[1.0, np.nan]]]), "finite numbers, got NaN"),
        (np.full((1, 2, 2), np.nan), r"that of row 0 has the shape \(0, 2\)"),
    ],
)
def test_what_is_no_set_is_refused(X, said):
    with pytest.raises(ValueError, match=said):
        end_to_end(X)


def test_a_column_of_lists_of_vectors_is_sets_and_for_others_their_means():
    sets, reasons = input_for("sets", SETS, ("parts",), n_dimensions=9).fit(SETS).encode(SETS)
    assert [one.vectors.tolist() for one in sets[:2]] == [[[1, 2], [3, 4]], [[5, 6]]]
    why = [None, None, "no set of vectors", "no set of vectors", "a set of vectors with numbers that aren't finite"]
    assert reasons == why
    means, reasons = input_for("vectors", SETS, ("parts",), n_dimensions=9).fit(SETS).encode(SETS)
    assert (means[:2].tolist(), reasons) == ([[2, 3], [5, 6]], why)


def test_texts_are_sets_of_their_sentences_which_name_them():
    fitted = input_for("sets", TEXTS, ("text",), n_dimensions=3).fit(TEXTS)
    sets, reasons = fitted.encode(TEXTS)
    assert names_of(sets) == [
        ("Heat the oven.", "Mix the flour!"),
        ("The team won.", "Nobody scored twice"),
        ("",),
        ("",),
    ]
    assert sets[0].vectors.shape == (2, 3)
    assert reasons == [None, None, "no text", "no text"]
    same, _ = fitted.encode(pa.table({"text": ["Mix the flour!"]}))
    np.testing.assert_allclose(same[0].vectors[0], sets[0].vectors[1], atol=1e-6)


def test_neighbouring_sentences_of_a_long_text_are_joined():
    text = " ".join(f"Sentence {at}." for at in range(10))
    assert parts_of(text, max_parts=4) == [
        "Sentence 0. Sentence 1. Sentence 2.", "Sentence 3. Sentence 4. Sentence 5.",
        "Sentence 6. Sentence 7. Sentence 8.", "Sentence 9.",
    ]  # fmt: skip
    assert len(parts_of(text, max_parts=10)) == 10
    assert parts_of(" \n ", max_parts=4) == []


@pytest.mark.parametrize(("table", "takes"), [(SETS, "sets"), (SETS, "vectors"), (TEXTS, "sets")])
def test_what_was_learned_comes_back_from_its_state(table, takes):
    fitted = input_for(takes, table, tuple(table.column_names), n_dimensions=3).fit(table)
    again = open_input(fitted.about(), fitted.state())
    assert again.feature_names == fitted.feature_names
    for one, other in zip(again.encode(table)[0], fitted.encode(table)[0], strict=True):
        np.testing.assert_array_equal(getattr(one, "vectors", one), getattr(other, "vectors", other))


def test_columns_that_are_no_sets_or_not_alone_are_refused():
    fitted = input_for("sets", SETS, ("parts",), n_dimensions=9).fit(SETS)
    with pytest.raises(ValueError, match="column 'parts' must be of lists of vectors, got double"):
        fitted.encode(pa.table({"parts": [1.0]}))
    with pytest.raises(ValueError, match="vectors of 'parts' must have 2 numbers, got 1"):
        fitted.encode(pa.table({"parts": [[[1.0]]]}))
    with pytest.raises(ValueError, match="must be of one length, got none"):
        input_for("sets", SETS, ("parts",), n_dimensions=9).fit(SETS.slice(2, 2))
    both = SETS.append_column("size", pa.array([1.0] * 5))
    with pytest.raises(ValueError, match="must be the only one, and of no table, got 'parts'"):
        input_for("vectors", both, ("size", "parts"), n_dimensions=9)
