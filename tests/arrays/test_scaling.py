"""Columns are brought to one size; one that doesn't vary stays as it is."""

import numpy as np
import pytest

from raypipe.arrays.scaling import mean_and_scale
from raypipe.classify.methods import method_class


def test_columns_have_mean_0_and_deviation_1_but_those_that_do_not_vary() -> None:
    X = np.random.default_rng(0).normal(3, [1, 1e-3, 1e4], size=(150, 3))
    mean, scale = mean_and_scale(np.column_stack([X, np.full(150, 0.1), np.zeros(150)]))
    np.testing.assert_allclose(((X - mean[:3]) / scale[:3]).std(axis=0), 1)
    assert scale[3:].tolist() == [1, 1]  # .1 in 150 rows has a deviation of 2.8e-17


@pytest.mark.parametrize("name", ["logistic-regression", "loki", "smote", "open-set"])
def test_a_constant_column_decides_nothing(name: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=150)
    X = np.column_stack([rng.normal(size=150) + y, np.full(150, 0.1)])
    model = method_class(name)().fit(X, y)
    moved = X + np.array([0, 1e-9])
    np.testing.assert_allclose(model.predict_proba(moved), model.predict_proba(X), atol=1e-6)
