"""Class probabilities are learned as so many copies of a row as their shares say."""

import numpy as np
import pytest

from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.fitting.soft import fit_soft, takes_weights

CLASSES = np.array(["a", "b"])


def test_shares_count_as_copies_of_rows() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20, 3))
    tenths = rng.integers(0, 11, 20)
    soft = np.column_stack([10 - tenths, tenths]) / 10
    copies = np.repeat(np.arange(20), 10)
    hard = CLASSES[(np.tile(np.arange(10), 20) < tenths[copies]).astype(int)]
    one, other = fit_soft(LogisticRegression(), X, soft * 10, CLASSES), LogisticRegression().fit(X[copies], hard)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-4)
    assert fit_soft(LogisticRegression(), X, soft, CLASSES).classes_.tolist() == ["a", "b"]


def test_only_what_takes_weights_can_learn_them() -> None:
    assert takes_weights(LogisticRegression)
    assert not takes_weights(NearestCentroid)
    with pytest.raises(ValueError, match="NearestCentroid can't learn class probabilities"):
        fit_soft(NearestCentroid(), np.zeros((2, 1)), np.eye(2), CLASSES)
    with pytest.raises(ValueError, match=r"probabilities must be \[2, 2\], got \(2, 3\)"):
        fit_soft(LogisticRegression(), np.zeros((2, 1)), np.ones((2, 3)), CLASSES)
