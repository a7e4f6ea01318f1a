"""Rankings: the first k as a full sort has them, ties by position; dense, fused and reranked ones."""

import numpy as np
import pytest

from raypipe.retrieve import dense
from raypipe.retrieve.dense import nearest
from raypipe.retrieve.fusion import fused
from raypipe.retrieve.ranking import NONE, Ranked, first_k
from raypipe.retrieve.rerank import reranked


@pytest.mark.parametrize("k", [1, 4, 9, 12])
def test_the_first_k_are_those_of_a_full_stable_sort(k: int) -> None:
    scores = np.random.default_rng(0).integers(0, 4, (30, 9)).astype(np.float32)  # many ties
    found = first_k(scores, k=k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.documents[:, :9], order)
    assert (found.documents[:, 9:] == NONE).all()
    np.testing.assert_array_equal(found.scores[:, :9], np.take_along_axis(scores, order, axis=1))


def test_minus_infinity_is_no_document() -> None:
    found = first_k(np.array([[-np.inf, 1.0, -np.inf]]), k=2)
    assert found.documents.tolist() == [[1, NONE]]
    assert found.scores.tolist() == [[1.0, -np.inf]]


@pytest.mark.parametrize("is_cosine", [True, False])
def test_the_nearest_are_those_of_all_products(is_cosine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    Q, X = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(50, 5)).astype(np.float32)
    X[31] = X[12] = X[3]  # ties across blocks
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) if is_cosine else one for one in (Q, X)]
    expected = np.argsort(-(unit[0] @ unit[1].T).round(5), axis=1, kind="stable")[:, :20]
    monkeypatch.setattr(dense, "BLOCK", 8)
    monkeypatch.setattr(dense, "QUERIES", 3)
    np.testing.assert_array_equal(nearest(Q, X, k=20, is_cosine=is_cosine).documents, expected)


def test_no_vector_is_no_document_and_finds_none() -> None:
    Q, X = np.ones((2, 3), np.float32), np.ones((3, 3), np.float32)
    Q[1], X[0] = np.nan, np.nan
    assert nearest(Q, X, k=3).documents.tolist() == [[1, 2, NONE], [NONE] * 3]


def test_fusion_adds_what_places_give() -> None:
    one = Ranked(np.array([[4, 2, 7]]), np.array([[3.0, 2.0, 1.0]], np.float32))
    other = Ranked(np.array([[2, 9, NONE]]), np.array([[0.1, 0.0, -np.inf]], np.float32))
    found = fused([one, other], k=5)
    assert found.documents.tolist() == [[2, 4, 9, 7, NONE]]
    np.testing.assert_allclose(found.scores[0, :4], [1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63], rtol=1e-6)


def test_reranking_orders_the_first_and_leaves_out_the_rest() -> None:
    ranking = Ranked(np.array([[4, 2, 7], [1, NONE, NONE]]), np.zeros((2, 3), np.float32))
    seen = []

    def score(pairs):
        seen.extend(pairs)
        return np.array([len(document) for _, document in pairs])

    documents = ["", "a", "bbb", "", "cc", "", "", "dddd"]
    found = reranked(ranking, ["x", "y"], documents, score=score, depth=2)
    assert found.documents.tolist() == [[2, 4], [1, NONE]]
    assert seen == [("x", "cc"), ("x", "bbb"), ("y", "a")]
    flat = reranked(ranking, ["x", "y"], documents, score=lambda pairs: np.zeros(len(pairs)), depth=3)
    assert flat.documents[0].tolist() == [2, 4, 7]  # ties by position, not as they stood


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"of the same dimensions.*\(1, 2\) and \(1, 3\)"):
        nearest(np.ones((1, 2)), np.ones((1, 3)), k=1)
    with pytest.raises(ValueError, match="k must be at least 1"):
        first_k(np.zeros((1, 2)), k=0)
    with pytest.raises(ValueError, match="alike without NaN"):
        Ranked(np.zeros((1, 1), np.int64), np.array([[np.nan]]))
    with pytest.raises(ValueError, match=r"of the same queries, got \[1, 2\]"):
        fused([first_k(np.ones((n, 2)), k=1) for n in (1, 2)], k=1)
    ranking = first_k(np.ones((1, 2)), k=2)
    with pytest.raises(ValueError, match="a number, not NaN, for each of 2 pairs"):
        reranked(ranking, ["x"], ["a", "b"], score=lambda pairs: np.zeros(1), depth=2)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        reranked(ranking, ["x"], ["a", "b"], score=lambda pairs: np.zeros(2), depth=0)
