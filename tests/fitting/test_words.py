import numpy as np
import pyarrow as pa
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from raypipe.fitting.inputs import open_input
from raypipe.fitting.words import NO_TEXT, WordCounts, WordVectors

TEXTS = ["red apples and red plums", "green pears", "plums and pears", "red red wine", "a green wine", "apples"]
TABLE = pa.table({"text": TEXTS})


def test_with_all_axes_the_products_of_vectors_are_those_of_plain_tf_idf() -> None:
    vectors, _ = WordVectors(("text",), n_dimensions=50, n_hashes=1 << 20).fit(TABLE).encode(TABLE)
    plain = TfidfVectorizer(sublinear_tf=True).fit_transform(TEXTS).toarray()
    assert vectors.shape == (6, 5)  # an axis less than there are texts
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    gaps = np.abs(vectors @ vectors.T - plain @ plain.T)
    assert gaps.max() < 0.15  # the axis that is left out
    assert np.median(gaps) < 0.02


def test_counts_are_those_of_the_words_that_were_learned() -> None:
    counts = WordCounts(("text",)).fit(TABLE)
    X, reasons = counts.encode(pa.table({"text": ["red red cherry", None, ""]}))
    np.testing.assert_array_equal(counts.encode(TABLE)[0].toarray(), CountVectorizer().fit_transform(TEXTS).toarray())
    assert X[0].sum() == 2
    assert X[0, counts.feature_names.index("red")] == 2
    assert reasons == [None, NO_TEXT, NO_TEXT]


@pytest.mark.parametrize("kind", [WordVectors, WordCounts])
def test_what_was_learned_comes_back_from_its_state(kind: type) -> None:
    fitted = kind(("text",)).fit(TABLE)
    again = open_input(fitted.about(), fitted.state())
    one, other = (of.encode(TABLE)[0] for of in (fitted, again))
    assert again.feature_names == fitted.feature_names
    np.testing.assert_array_equal(*(np.asarray(X.toarray() if hasattr(X, "toarray") else X) for X in (one, other)))


@pytest.mark.parametrize("kind", [WordVectors, WordCounts])
def test_texts_without_words_are_refused(kind: type) -> None:
    with pytest.raises(ValueError, match="column 'text' must have texts with words, got 2 without any"):
        kind(("text",)).fit(pa.table({"text": ["", "! ?"]}))
    with pytest.raises(ValueError, match="column 'text' must be of texts, got double"):
        kind(("text",)).fit(pa.table({"text": [1.0]}))


def test_no_rows_are_no_vectors() -> None:
    fitted = WordVectors(("text",), n_dimensions=2).fit(TABLE)
    assert fitted.encode(TABLE.slice(0, 0))[0].shape == (0, 2)
