"""A vote by the cosine to phrases, and what it can't be asked."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.label.functions.function import said
from raypipe.label.functions.similarity import Similarity

X = [[3.0, 0.0], [1.0, 1.0], [0.0, 0.5], None, [0.0, 0.0], [float("nan"), 1.0], [-1.0, 0.1]]


def votes(function: Similarity, vectors: np.ndarray, rows: list = X) -> list[int]:
    table = pa.table({function.column: pa.array(rows, pa.list_(pa.float32()))})
    found = said(function.placed(vectors), table)
    assert found.failed == {}
    assert {one for one in found.classes if one} <= {"spam"}
    return [row for row, one in enumerate(found.classes) if one]


def test_the_nearest_phrase_must_be_near_whatever_the_lengths() -> None:
    phrases = np.array([[5.0, 0.0], [0.0, 0.1]])
    assert votes(Similarity("a", "spam", ("x", "y"), 0.9), phrases) == [0, 2]
    assert votes(Similarity("a", "spam", ("x", "y"), 0.70), phrases) == [0, 1, 2]  # cosine of 45 degrees: 0.707
    assert votes(Similarity("a", "spam", ("x", "y"), 0.71), phrases) == [0, 2]


def test_it_must_be_nearer_than_those_against_by_the_margin() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert votes(Similarity("a", "spam", ("x",), -0.5, ("y",)), vectors) == [0]  # a tie is no vote
    assert votes(Similarity("a", "spam", ("x",), -0.5, ("y",), 0.0), vectors) == [0, 1, 4]
    rows = [[1.0, 0.9], [1.0, 0.5]]  # differences of 0.074 and 0.447
    assert votes(Similarity("a", "spam", ("x",), 0.0, ("y",), 0.1), vectors, rows) == [1]


def test_fixed_lists_of_small_numbers_are_vectors_too() -> None:
    column = pa.array([[127, 0], None, [-5, 127]], pa.list_(pa.int8(), 2))
    function = Similarity("a", "spam", ("x",), 0.9).placed(np.array([[1.0, 0.0]]))
    assert said(function, pa.table({function.column: column})).classes == ["spam", None, None]


def test_vectors_of_another_length_fail_by_row_and_without_phrases_nothing_votes() -> None:
    found = said(Similarity("a", "spam", ("x",), 0.9).placed(np.ones((1, 3))), pa.table({"embeddings.embedding": X}))
    assert found.classes == [None] * len(X)
    assert "must have 3 dimensions" in found.failed[0]
    assert sorted(found.failed) == [0, 1, 2, 4, 6]
    with pytest.raises(RuntimeError, match="must be given the vectors"):
        Similarity("a", "spam", ("x",), 0.9).says(pa.table({"embeddings.embedding": X}))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"phrases": ()}, "phrases must hold words"),
        ({"against": (" ",)}, "against must hold words"),
        ({"at_least": 1.0}, "at_least must be a cosine from -1 to below 1, got 1.0"),
        ({"at_least": float("nan")}, "at_least must be a cosine"),
        ({"margin": 0.1}, "margin must be .* needs phrases `against`, got 0.1 and 0"),
        ({"margin": -0.1, "against": ("y",)}, "margin must be from 0 to below 2"),
    ],
)
def test_what_can_not_vote_is_refused_by_name(changes: dict, why: str) -> None:
    given = {"name": "a", "vote": "spam", "phrases": ("x",), "at_least": 0.5} | changes
    with pytest.raises(ValueError, match=f"labelling function 'a': {why}"):
        Similarity(**given).check()
