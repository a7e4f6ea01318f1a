"""BM25 equals its formula, written out slowly, and finds no document without a word of the query."""

import math
import re
from collections import Counter

import numpy as np
import pytest

from raypipe.retrieve.bm25 import BM25
from raypipe.retrieve.ranking import NONE

DOCUMENTS = [
    "The quick brown fox", "A lazy dog, a lazy dog!", "Quick quick foxes; the dog 42", "", "Ünïcode words: 日本 fox",
    "42",
]  # fmt: skip
QUERIES = ["quick fox", "dog dog", "42?", "日本", "nothing of it", "", "THE"]


def slow(query: str, documents: list[str], *, k1: float, b: float) -> list[float]:
    """Lucene's form, document by document."""
    words = [re.findall(r"\w+", text.lower()) for text in documents]
    mean = sum(map(len, words)) / len(words)
    found = []
    for own in words:
        counts, total = Counter(own), 0.0
        for word in re.findall(r"\w+", query.lower()):
            n = sum(word in other for other in words)
            idf = math.log(1 + (len(words) - n + 0.5) / (n + 0.5))
            if counts[word]:
                total += idf * counts[word] / (counts[word] + k1 * (1 - b + b * len(own) / mean))
        found.append(total)
    return found


@pytest.mark.parametrize(("k1", "b"), [(0.9, 0.4), (1.5, 0.75), (0.0, 0.0)])
def test_scores_are_those_of_the_formula(k1: float, b: float) -> None:
    found = BM25(DOCUMENTS, k1=k1, b=b).rank(QUERIES, k=6)
    for row, query in enumerate(QUERIES):
        expected = slow(query, DOCUMENTS, k1=k1, b=b)
        order = [at for at in np.argsort(-np.array(expected), kind="stable") if expected[at] > 0]
        assert found.documents[row].tolist() == [*order, *[NONE] * (6 - len(order))]
        np.testing.assert_allclose(found.scores[row, : len(order)], np.array(expected)[order], rtol=1e-5)


def test_more_queries_than_are_held_together_give_the_same() -> None:
    index = BM25(DOCUMENTS)
    many = index.rank(QUERIES * 100, k=2)
    np.testing.assert_array_equal(many.documents[-len(QUERIES) :], index.rank(QUERIES, k=2).documents)


def test_no_queries_give_no_rows() -> None:
    assert BM25(DOCUMENTS).rank([], k=3).documents.shape == (0, 3)


def test_documents_without_a_word_are_never_found() -> None:
    assert (BM25(["", "  ", "?!"]).rank(["word", ""], k=2).documents == NONE).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a document, k1 of at least 0"):
        BM25([])
    with pytest.raises(ValueError, match=r"b in \[0, 1\], got 1, 0.9 and 1.5"):
        BM25(["a"], b=1.5)
