"""Logistic regression: scikit-learn's on scaled features, its probabilities, and what it refuses."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression as Library
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raypipe.classify.logistic_regression import LogisticRegression


def rows(*, k: int, n: int = 150):
    rng = np.random.default_rng(k)
    y = rng.integers(0, k, n)
    return rng.normal(size=(n, 4)) * [1, 10, 100, 0.01] + 2.0 * y[:, None] * [1, 0, 50, 0.005], y


@pytest.mark.parametrize("k", [2, 3, 5])
def test_it_is_the_librarys_on_scaled_features(k):
    X, y = rows(k=k)
    right = make_pipeline(StandardScaler(), Library(C=0.5, max_iter=1000)).fit(X, y)
    found = LogisticRegression(C=0.5).fit(X, y)
    np.testing.assert_allclose(found.predict_proba(X), right.predict_proba(X), atol=1e-9)
    assert (found.predict(X) == right.predict(X)).all()


def test_it_tells_apart_what_lies_apart_and_a_constant_feature_is_no_harm():
    X, y = rows(k=3)
    X[:, 1] = 7.0
    names = np.array(["low", "middle", "high"])[y]
    found = LogisticRegression(C=100.0).fit(X, names)
    assert (found.predict(X) == names).mean() > 0.8
    assert LogisticRegression(C=1e-9).fit(X, names).predict_proba(X).max() < 0.5  # a heavy penalty leaves the priors


def test_a_stronger_penalty_gives_smaller_weights():
    X, y = rows(k=2)
    norms = [np.linalg.norm(LogisticRegression(C=C).fit(X, y).coef_) for C in (0.01, 1.0, 100.0)]
    assert norms == sorted(norms)
    assert norms[0] < norms[2]


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="needs two classes at least, got 1 class: 'a'"):
        LogisticRegression().fit(np.eye(3), np.array(["a"] * 3))
