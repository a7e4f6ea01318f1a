"""Label vectors from keywords: documents of one sort, whatever the cut; better than keywords that mislead."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.label.functions.function import said
from raypipe.label.functions.nearest import Nearest
from raypipe.label.label_vectors import (
    NearestDocuments,
    at_length_one,
    label_vectors,
    probabilities,
    without_outliers,
)

RNG = np.random.default_rng(0)
CENTRES = at_length_one(RNG.normal(size=(3, 24)))
Y = RNG.integers(0, 3, 900)
X = CENTRES[Y] + 0.3 * RNG.normal(size=(900, 24))
KEYWORDS = CENTRES + 0.35 * np.random.default_rng(1).normal(size=(3, 24))  # near their classes, not in the middle
IDS = [f"d{number:04}" for number in RNG.permutation(900)]


def rows(X: np.ndarray, ids: list[str]) -> pa.Table:
    return pa.table({"id": ids, "e.v": X.tolist(), "reason": pa.nulls(len(X), pa.string())})


def nearest(n: int, X: np.ndarray = X, ids: list[str] = IDS) -> NearestDocuments:
    made = NearestDocuments("e.v", KEYWORDS, n)
    made.update(rows(X, ids))
    return made


def test_the_documents_are_those_of_one_sort_with_ties_by_id() -> None:
    doubled, ids = np.concatenate([X, X[:50]]), [*IDS, *(f"a{number}" for number in range(50))]
    found = nearest(40, doubled, ids)
    unit = at_length_one(doubled)
    for label in range(3):
        cosine = [float((row * at_length_one(KEYWORDS)[label]).sum()) for row in unit]
        order = sorted(range(len(ids)), key=lambda at: (-cosine[at], ids[at]))[:40]
        assert found.row_ids[label].tolist() == [ids[at] for at in order]


def test_label_vectors_are_the_same_to_the_bit_for_any_cut() -> None:
    whole = label_vectors(nearest(30), min_documents=30)
    parts = [nearest(30, X[a::7], IDS[a::7]) for a in range(7)]
    made = NearestDocuments("e.v", KEYWORDS, 30)
    for part in parts[::-1]:
        made.merge(part)
    np.testing.assert_array_equal(label_vectors(made, min_documents=30), whole)


def test_fifty_documents_say_more_than_keywords_and_one_document_less() -> None:
    accuracy = {
        n: float((probabilities(X, label_vectors(nearest(n), min_documents=n)).argmax(axis=1) == Y).mean())
        for n in (1, 5, 50)
    }
    of_keywords = float((probabilities(X, KEYWORDS).argmax(axis=1) == Y).mean())
    assert accuracy[50] > accuracy[5] > accuracy[1]
    assert accuracy[50] > of_keywords + 0.05


def test_a_threshold_and_an_offset_choose_how_many() -> None:
    found = nearest(100)
    bound = float(found.cosine[0][10])
    kept = label_vectors(found, min_documents=1, threshold=bound)[0]
    np.testing.assert_array_equal(kept, found.X[0][:10].astype(float).mean(axis=0))
    by_offset = label_vectors(found, min_documents=1, offset=float(found.cosine[0][0] - bound))[0]
    np.testing.assert_array_equal(by_offset, kept)
    np.testing.assert_array_equal(label_vectors(found, min_documents=1, threshold=1.0)[0], found.X[0][0])


def test_outliers_are_left_out_of_the_mean() -> None:
    crowd = RNG.normal(size=(60, 4)) * 0.1
    cleaned = without_outliers(np.concatenate([crowd, [[5.0, 5.0, 5.0, 5.0]]]))
    assert abs(cleaned).max() < 1
    assert len(cleaned) >= 50
    one = label_vectors(nearest(40), min_documents=40, cleans=True)
    assert one.shape == (3, 24)


def test_confidence_is_the_softmax_of_cosines_over_a_twentieth() -> None:
    found = probabilities(np.array([[2.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 3.0]]))
    np.testing.assert_allclose(found[0], np.exp([20, 0]) / np.exp([20, 0]).sum())


def test_what_can_t_be_is_refused() -> None:
    with pytest.raises(ValueError, match="n_documents must be at least 1, got 0"):
        NearestDocuments("e.v", KEYWORDS, 0)
    with pytest.raises(ValueError, match="directions must be finite and none of them 0"):
        NearestDocuments("e.v", KEYWORDS * 0)
    with pytest.raises(ValueError, match="need a document with a vector at least"):
        label_vectors(NearestDocuments("e.v", KEYWORDS))
    with pytest.raises(ValueError, match="give threshold or offset, not both"):
        label_vectors(nearest(3), threshold=0.5, offset=0.1)
    with pytest.raises(ValueError, match="must have 24 dimensions as keywords do: 5"):
        nearest(3, X[:, :5])


def test_the_function_votes_for_the_nearest_class_where_it_is_sure() -> None:
    function = Nearest("by words", {"a": ("x",), "b": ("y", "z")}, at_least=0.9).placed(np.eye(2))
    table = pa.table({"embeddings.embedding": [[1.0, 0.0], [0.0, 2.0], [1.0, 0.95], None, [float("nan"), 1.0]]})
    assert said(function, table).classes == ["a", "b", None, None, None]
    assert function.vote is None
    wrong = said(function, pa.table({"embeddings.embedding": [[1.0, 0.0, 0.0]]}))
    assert "must have 2 dimensions as the classes' do" in wrong.failed[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"keywords": {"a": ("x",)}}, r"of two classes at least, got \['a'\]"),
        ({"keywords": {"a": ("x",), "b": ()}}, "keywords of 'b' must hold words"),
        ({"keywords": {"a": ("x",), "b": (" ",)}}, "keywords of 'b' must hold words, none of them blank"),
        ({"documents": -1}, "documents must be 0 or more, got -1"),
        ({"at_least": 1.0}, "at_least must be a probability from 0 to below 1"),
    ],
)
def test_a_function_that_can_t_be_is_refused(changes: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Nearest(**({"name": "by words", "keywords": {"a": ("x",), "b": ("y",)}} | changes)).check()
