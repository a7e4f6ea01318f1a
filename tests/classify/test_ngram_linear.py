import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from raypipe.classify.ngram_linear import NGramLinear
from raypipe.fitting.ngrams import HashedNGrams

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 90)
X = np.abs(RNG.normal(size=(90, 5)) + 2 * np.eye(3, 5)[Y])


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learn_s_on_dense_rows_and_on_sparse_ones(classes: int) -> None:
    rows = np.isin(Y, range(classes))
    wanted = LogisticRegression(C=30.0, max_iter=300).fit(X[rows], Y[rows]).predict_proba(X)
    for given in (X, sparse.csr_matrix(X)):
        fitted = NGramLinear().fit(given[rows], Y[rows])
        np.testing.assert_allclose(fitted.predict_proba(given), wanted, atol=1e-9)


def test_it_tells_texts_by_the_order_of_their_words() -> None:
    table = pa.table({"text": ["good not bad", "bad not good"] * 20})
    y, rows = np.array(["kept", "dropped"] * 20), HashedNGrams(("text",)).encode(table)[0]
    assert NGramLinear().fit(rows, y).predict(rows).tolist() == y.tolist()
    words = HashedNGrams(("text",), longest=1).encode(table)[0]
    assert np.ptp(NGramLinear().fit(words, y).predict_proba(words)) == pytest.approx(0)


def test_more_penalty_is_less_sure() -> None:
    sure, unsure = (NGramLinear(C=C).fit(X, Y).predict_proba(X).max(axis=1).mean() for C in (30.0, 0.01))
    assert sure > unsure + 0.1


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="needs two classes at least, got 1 class: '1'"):
        NGramLinear().fit(X[Y == 1], Y[Y == 1])
