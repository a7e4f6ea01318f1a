import numpy as np
import pytest
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from raypipe.classify.pooled_naive_bayes import PooledNaiveBayes


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(7).permutation(len(X))
    return X[order] / 16, y[order]


def test_scores_are_those_of_the_definition_row_by_row():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    X = rng.normal(size=(3, 5))[y] + rng.normal(size=(90, 5))
    fitted = PooledNaiveBayes(epsilon=1e-12).fit(X, y)
    v = sum((y == c).mean() * X[y == c].var(axis=0) for c in range(3))
    log_joint = np.array([
        [np.log((y == c).mean()) + norm.logpdf(x, X[y == c].mean(axis=0), np.sqrt(v)).sum() for c in range(3)]
        for x in X
    ])  # fmt: skip
    posterior = np.exp(log_joint - log_joint.max(axis=1, keepdims=True))
    np.testing.assert_allclose(fitted.predict_proba(X), posterior / posterior.sum(axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_allclose(fitted.score_samples(X), np.log(np.exp(log_joint).sum(axis=1)), rtol=1e-6)


def test_eight_shards_merged_are_the_whole_and_the_linear_form_answers_alike(digits):
    X, y = digits
    whole = PooledNaiveBayes().fit(X, y)
    first, *others = (PooledNaiveBayes().fit(X[part], y[part]) for part in np.array_split(np.argsort(y), 8))
    for other in others:
        first.merge(other)  # sorted by class: most shards lack most classes
    for name in ("counts_", "means_", "squares_"):
        np.testing.assert_allclose(getattr(first, name), getattr(whole, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(first.predict_proba(X), whole.predict_proba(X), rtol=1e-9, atol=1e-9)
    weights, biases = whole.linear()
    assert (whole.classes_[(X @ weights.T + biases).argmax(axis=1)] == whole.predict(X)).all()


def test_with_few_rows_it_beats_logistic_regression_and_with_many_it_is_beaten(digits):
    X, y = digits
    gaps = {}
    for m in (20, 1000):
        errors = []
        for seed in range(6):
            rows = np.random.default_rng(seed).permutation(len(X))
            one_each = [rows[y[rows] == digit][0] for digit in range(10)]
            train = np.concatenate([one_each, rows[~np.isin(rows, one_each)]])[:m]
            test = np.setdiff1d(rows, train)[:600]
            models = (PooledNaiveBayes(), LogisticRegression(max_iter=200))
            errors.append([(of.fit(X[train], y[train]).predict(X[test]) != y[test]).mean() for of in models])
        gaps[m] = np.subtract(*np.mean(errors, axis=0))
    assert gaps[20] < -0.01
    assert gaps[1000] > 0.03


def test_a_feature_that_is_nearly_always_nought_decides_little():
    y = np.repeat([0, 1], 200)
    X = np.column_stack([np.random.default_rng(0).normal(y, 0.5), np.zeros(400)])
    X[7, 1] = 1e-3  # in one row of class 0
    asked = np.array([[1.0, 2e-3]])
    assert PooledNaiveBayes(epsilon=1e-9).fit(X, y).predict(asked) == [0]
    assert PooledNaiveBayes().fit(X, y).predict(asked) == [1]


def test_a_feature_that_never_varied_says_nothing():
    y = np.repeat([0, 1], 50)
    X = np.column_stack([np.random.default_rng(0).normal(y, 0.5), np.ones(100)])
    fitted = PooledNaiveBayes().fit(X, y)
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(X + np.array([0, 5.0])))
    assert np.isfinite(fitted.score_samples(X)).all()


def test_the_unit_of_a_feature_changes_nothing(digits):
    X, y = digits[0][:300, 8:24], digits[1][:300]
    units = np.random.default_rng(0).uniform(0.01, 100, X.shape[1])
    one, other = (PooledNaiveBayes().fit(Z, y).predict_proba(Z) for Z in (X, X * units + 3 * units))
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("epsilon", [0.0, -1.0])
def test_an_epsilon_that_cannot_be_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon must be above 0, got"):
        PooledNaiveBayes(epsilon=epsilon).fit(np.eye(2), [0, 1])
