from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_iris

from raypipe.classify.logistic_regression import LogisticRegression
from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.evaluate.cross_validation import KnownRows, cross_validated, folds_of, majority_answers
from raypipe.fitting.table import ColumnVectors


@pytest.fixture(scope="module")
def rows() -> KnownRows:
    X, y = load_iris(return_X_y=True)
    table = pa.table({"x": pa.array(list(X), pa.list_(pa.float64()))})
    return KnownRows(table.filter(pa.array(y < 2)), y[y < 2], table.filter(pa.array(y == 2)))


def test_every_row_is_answered_for_by_a_fit_that_has_not_seen_it(rows):
    seen = []

    class Remembers(NearestCentroid):
        def fit(self, X, y):
            seen.append({tuple(x) for x in X})
            return super().fit(X, y)

        def predict(self, X):
            assert not seen[-1] & {tuple(x) for x in X} - twins
            return super().predict(X)

    vectors = [tuple(x) for x in rows.known["x"].to_pylist()]
    twins = {x for x in vectors if vectors.count(x) > 1}
    found = cross_validated(Remembers(), ColumnVectors(("x",)), rows, folds_of(rows, n_folds=5, seed=0))
    assert len(seen) == 5
    assert (found.label == rows.y).mean() == 1
    assert found.of_unknown.shape == (50,)
    assert found.familiarity.mean() > found.of_unknown.mean()  # virginica is neither setosa nor versicolor


def test_without_score_samples_familiarity_is_the_probability(rows):
    folds = folds_of(rows, n_folds=3, seed=1)
    found = cross_validated(LogisticRegression(), ColumnVectors(("x",)), rows, folds)
    if not hasattr(LogisticRegression, "score_samples"):
        np.testing.assert_array_equal(found.familiarity, found.probability)
    again = cross_validated(LogisticRegression(), ColumnVectors(("x",)), rows, folds)
    np.testing.assert_array_equal(found.probability, again.probability)


def test_fits_see_the_names_of_classes_and_a_label_that_no_row_has_is_no_class(rows):
    seen = set()

    class Reads(NearestCentroid):
        def fit(self, X, y):
            seen.update(y.tolist())
            return super().fit(X, y)

        def predict(self, X):
            return np.where(super().predict(X) == "setosa", "setosa", "iris")

    named = replace(rows, names=("setosa", "versicolor"))
    found = cross_validated(Reads(), ColumnVectors(("x",)), named, folds_of(named, n_folds=5, seed=0))
    assert seen == {"setosa", "versicolor"}
    np.testing.assert_array_equal(found.label, np.where(rows.y == 0, 0, -1))


def test_the_majority_is_that_of_the_other_folds(rows):
    y = np.repeat([0, 1], [60, 40])
    found = majority_answers(KnownRows(rows.known, y, rows.unknown), folds_of(rows, n_folds=5, seed=0))
    assert set(found.label) == {0}
    assert found.probability.mean() == pytest.approx(0.6, abs=0.02)


@pytest.mark.parametrize("n_folds", [1, 51])
def test_folds_that_cannot_be_are_refused(rows, n_folds):
    with pytest.raises(ValueError, match=f"from 2 to the rows of the largest class, which has 50, got {n_folds}"):
        folds_of(rows, n_folds=n_folds, seed=0)
