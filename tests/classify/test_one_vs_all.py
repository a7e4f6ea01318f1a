"""One regression a label: as scikit-learn's, on one label a row and on many."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn import linear_model

from raypipe.classify.one_vs_all import OneVsAll

RNG = np.random.default_rng(0)
Y = RNG.random((150, 4)) < [0.5, 0.3, 0.2, 0.1]
X = RNG.normal(size=(150, 5)) + Y @ RNG.normal(size=(4, 5))
LISTS = [[f"l{at}" for at in np.flatnonzero(row)] for row in Y]


def test_each_label_has_scikit_learn_s_regression():
    """All labels brought down by one solver are each where a solver of their own brings them."""
    model = OneVsAll(C=0.5, max_iter=1000).fit_many(X, LISTS)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    for at in range(4):
        alone = linear_model.LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(Z, Y[:, at])
        np.testing.assert_allclose(model.coef_[at], alone.coef_[0], atol=5e-3)
        np.testing.assert_allclose(model.probabilities(X)[:, at], alone.predict_proba(Z)[:, 1], atol=5e-3)


def test_rows_beyond_a_block_are_added_up(monkeypatch):
    whole = OneVsAll().fit_many(X, LISTS)
    monkeypatch.setattr("raypipe.classify.one_vs_all.BLOCK", 7)
    np.testing.assert_allclose(OneVsAll().fit_many(X, LISTS).coef_, whole.coef_, atol=1e-3)


def test_one_label_a_row_is_a_list_of_one():
    y = Y.argmax(axis=1)
    one = OneVsAll().fit(X, y)
    listed = OneVsAll().fit_many(X, y[:, None].tolist())
    np.testing.assert_array_equal(one.coef_, listed.coef_)
    said = expit((X - one.mean_) / one.scale_ @ one.coef_.T + one.intercept_)
    np.testing.assert_allclose(one.predict_proba(X), said / said.sum(axis=1, keepdims=True))


def test_wrong_lists_and_settings_are_refused():
    with pytest.raises(ValueError, match="a list for each of 150 rows, of two classes at least"):
        OneVsAll().fit_many(X, [["a"]] * 150)
    with pytest.raises(ValueError, match=r"C must be above 0, max_iter at least 1, got 0.0 and 100"):
        OneVsAll(C=0.0).fit_many(X, LISTS)
