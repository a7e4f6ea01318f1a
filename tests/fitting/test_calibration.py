import numpy as np
import pytest
from scipy.special import softmax

from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.evaluate.classifiers import calibration_error
from raypipe.fitting.calibration import fit_temperature, temperature_of, tempered

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4000, 3)) * 2
Y = np.array([RNG.choice(3, p=row) for row in softmax(LOGITS, axis=1)])


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 4.0])
def test_it_finds_by_how_much_logits_were_sharpened(sharpened: float) -> None:
    found = temperature_of(softmax(LOGITS * sharpened, axis=1), Y)
    assert found == pytest.approx(sharpened, rel=0.05)


def test_tempered_probabilities_are_calibrated_and_order_classes_as_before() -> None:
    raw = softmax(LOGITS * 4, axis=1)
    cool = tempered(raw, temperature_of(raw, Y))
    assert (cool.argmax(axis=1) == raw.argmax(axis=1)).all()
    np.testing.assert_allclose(cool.sum(axis=1), 1)
    before, after = (calibration_error(p.max(axis=1), p.argmax(axis=1) == Y) for p in (raw, cool))
    assert before > 0.1
    assert after < 0.03
    assert tempered(raw, 1.0) is raw


def test_an_estimator_s_own_is_found_on_rows_that_its_fits_have_not_seen() -> None:
    y = RNG.integers(0, 2, 300)
    X = RNG.normal(size=(300, 200)) + 0.1 * y[:, None]
    names = np.array(["a", "b"])[y]
    found = fit_temperature(NearestCentroid(), X, names, seed=0)
    assert found == fit_temperature(NearestCentroid(), X, names, seed=0)
    seen = temperature_of(NearestCentroid().fit(X, y).predict_proba(X), y)
    assert found > 2 * seen  # in 200 dimensions rows that were seen lie much nearer to their own centroid


def test_too_few_rows_and_rare_classes_are_borne() -> None:
    X, y = RNG.normal(size=(13, 2)), np.array([0, 1] * 6 + [2])
    assert fit_temperature(NearestCentroid(), X[:4], y[:4], seed=0) == 1.0
    assert fit_temperature(NearestCentroid(), X, y, seed=0) > 0  # the one of class 2 is met by a fit without it
    with pytest.raises(ValueError, match="found on rows, got none"):
        temperature_of(np.empty((0, 2)), np.empty(0, int))
