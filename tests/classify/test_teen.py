"""TEEN: the cosine nearest mean at alpha 0, limits in tau, sessions in any order, and the share called base."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import NearestCentroid

from raypipe.classify.teen import TEEN, chosen, session_accuracy, to_length_one


@pytest.fixture(scope="module")
def digits():
    """Pixels of 6 base classes, 5 rows of each of 4 new ones, and what is left of all: X, y each."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(1)
    new = rng.choice(10, 4, replace=False)
    order = rng.permutation(len(y))
    X, y = X[order] / 16, y[order]
    is_new = np.isin(y, new)
    base = np.flatnonzero(~is_new)[:600]
    shots = np.concatenate([np.flatnonzero(y == name)[:5] for name in new])
    rest = np.setdiff1d(np.arange(len(y)), np.concatenate([base, shots]))
    return (X[base], y[base]), (X[shots], y[shots]), (X[rest], y[rest])


def fitted(digits, **settings):
    base, shots, _ = digits
    return TEEN(**settings).fit(*base).add_classes(*shots)


def test_prototypes_are_those_of_a_slow_loop(digits):
    (X, y), (Xn, yn), _ = digits
    model = fitted(digits, alpha=0.3, tau=8.0)
    units = {c: X[y == c].mean(0) / np.linalg.norm(X[y == c].mean(0)) for c in set(y.tolist())}
    for name in set(yn.tolist()):
        mean = Xn[yn == name].mean(0)
        unit = mean / np.linalg.norm(mean)
        weights = {c: np.exp(8.0 * unit @ u) for c, u in units.items()}
        lent = sum(weights[c] / sum(weights.values()) * units[c] for c in units)
        right = 0.7 * unit + 0.3 * lent / np.linalg.norm(lent)
        np.testing.assert_allclose(model.prototypes_[model.classes_ == name][0], right, rtol=1e-12)
    for name, unit in units.items():
        np.testing.assert_allclose(model.prototypes_[model.classes_ == name][0], unit, rtol=1e-12)


def test_alpha_0_is_the_cosine_nearest_mean(digits):
    base, shots, (X, _) = digits
    model = fitted(digits, alpha=0.0)
    rows, labels = (np.concatenate(both) for both in zip(base, shots, strict=True))
    means = to_length_one(np.stack([rows[labels == name].mean(axis=0) for name in range(10)]))
    right = NearestCentroid().fit(means, np.arange(10)).predict(to_length_one(X))
    assert (model.predict(X) == right).all()
    assert (model.predict(X) == np.argmax(to_length_one(X) @ means.T, axis=1)).all()


def test_limits_in_tau(digits):
    units = fitted(digits, alpha=0.0).prototypes_
    flat, sharp = (fitted(digits, alpha=1.0, tau=tau) for tau in (1e-9, 1e6))
    base, new = units[flat.is_base_], units[~flat.is_base_]
    mean = to_length_one(base.mean(axis=0)[None])
    np.testing.assert_allclose(flat.prototypes_[~flat.is_base_], np.repeat(mean, 4, axis=0), atol=1e-8)
    np.testing.assert_allclose(sharp.prototypes_[~sharp.is_base_], base[(new @ base.T).argmax(axis=1)], atol=1e-12)


def test_the_order_of_sessions_changes_nothing(digits):
    base, (X, y), (rest, _) = digits
    names = np.unique(y)
    one, other = (TEEN(alpha=0.4).fit(*base) for _ in range(2))
    for name in names:
        one.add_classes(X[y == name], y[y == name])
    for some in (names[2:], names[:2]):
        other.add_classes(X[np.isin(y, some)], y[np.isin(y, some)])
    np.testing.assert_array_equal(one.prototypes_, other.prototypes_)
    np.testing.assert_array_equal(one.predict_proba(rest), other.predict_proba(rest))


def test_fewer_new_rows_are_called_base_as_alpha_grows_to_point_3(digits):
    found = [session_accuracy(fitted(digits, alpha=a), *digits[2]).new_called_base for a in (0, 0.1, 0.2, 0.3)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_classes_of_few_rows_count_as_new(digits):
    base, shots, (rest, _) = digits
    whole = [np.concatenate(both) for both in zip(base, shots, strict=True)]
    at_once = TEEN(max_shots=5).fit(*whole)
    np.testing.assert_array_equal(at_once.is_base_, np.isin(at_once.classes_, np.unique(base[1])))
    np.testing.assert_allclose(at_once.predict_proba(rest), fitted(digits).predict_proba(rest), rtol=1e-12)
    assert TEEN(max_shots=5).fit(*shots).is_base_.all()  # nobody could lend


def test_settings_are_chosen_on_base_classes_treated_as_new(digits):
    base, _, _ = digits
    found = chosen(*base, n_shots=5, n_draws=3, random_state=3)
    assert found.get_params() == chosen(*base, n_shots=5, n_draws=3, random_state=3).get_params()
    assert chosen(*base, n_shots=5, alphas=(0.2,), taus=(4.0,)).get_params()["alpha"] == 0.2
    with pytest.raises(ValueError, match="3 classes of more than n_shots = 200 rows each"):
        chosen(*base, n_shots=200)


def test_a_session_survives_state_and_merge(digits):
    base, shots, (rest, _) = digits
    whole = fitted(digits)
    half = TEEN().fit(base[0][::2], base[1][::2]).add_classes(*shots)
    merged = TEEN().fit(base[0][1::2], base[1][1::2]).merge(half)
    for again in (TEEN().from_state(whole.state()), merged):
        np.testing.assert_allclose(again.predict_proba(rest), whole.predict_proba(rest), rtol=1e-9)
        assert again.is_added_.sum() == 4


def test_bad_input_is_refused(digits):
    base, shots, _ = digits
    with pytest.raises(NotFittedError):
        TEEN().add_classes(*shots)
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\].*got 1.5"):
        TEEN(alpha=1.5).fit(*base)
    with pytest.raises(ValueError, match="a session brings new classes"):
        fitted(digits).add_classes(*shots)
    with pytest.raises(ValueError, match="all texts or all numbers"):
        TEEN().fit(*base).add_classes(shots[0], shots[1].astype(str))
    with pytest.raises(ValueError, match="features"):
        TEEN().fit(*base).add_classes(shots[0][:, :3], shots[1])
    with pytest.raises(ValueError, match="must be base or new on both sides"):
        fitted(digits).merge(TEEN().fit(*shots))
