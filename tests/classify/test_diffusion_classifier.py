"""The diffusion classifier: its times, stages and noise, what it learns of digits, and what it refuses."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from raypipe.classify.diffusion_classifier import (
    DiffusionClassifier,
    grid,
    noise_of,
    subset,
    told_error,
)
from tests.learning import SEED, require


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(y))
    return (X[order[:800]], y[order[:800]]), (X[order[1500:1600]], y[order[1500:1600]])


@pytest.fixture(scope="module")
def fitted(digits):
    return DiffusionClassifier(width=96, n_blocks=2, n_epochs=90, random_state=SEED).fit(*digits[0])


def with_schedule(fitted, schedule, **settings):
    made = DiffusionClassifier(**{**fitted.get_params(), "schedule": schedule, **settings})
    return made.from_state(fitted.state())


def test_times_are_those_of_the_authors_code_and_a_stage_s_lie_among_the_last_one_s():
    assert grid(250)[:3] == [2, 6, 10]
    assert len(grid(250)) == 250
    assert subset(grid(250), 25)[:3] == [22, 62, 102]
    assert len(subset(grid(250), 25)) == 25
    assert set(subset(grid(250), 25)) <= set(grid(250))
    assert subset(grid(50), 50) == grid(50) == list(range(10, 1000, 20))


@pytest.mark.learns
def test_it_tells_digits_and_stages_cost_no_accuracy(digits, fitted):
    _, (Z, t) = digits
    whole = with_schedule(fitted, "1:50").score(Z, t)
    require(above=0.9, accuracy=whole)
    require(above=-0.03, staged=with_schedule(fitted, "4:10 1:50").score(Z, t) - whole)
    require(above=0.85, absolute=with_schedule(fitted, "1:25", loss="l1").score(Z, t))


def test_errors_are_the_means_over_the_grid_of_noise_that_all_classes_share(digits, fitted):
    _, (Z, _) = digits
    found = with_schedule(fitted, "1:5").errors(Z[:2])
    scaled, model = (Z[:2] - fitted.mean_) / fitted.scale_, fitted._denoiser()
    noise = noise_of(scaled, 5)
    for row in range(2):
        for of in range(10):
            each = [
                told_error(model, scaled[[row]], noise[[row], at], time, np.array([of]), loss="l2")[0]
                for at, time in enumerate([100, 300, 500, 700, 900])
            ]
            assert found[row, of] == pytest.approx(np.mean(each), rel=1e-4)


def test_classes_kept_to_the_end_are_below_those_that_were_dropped(digits, fitted):
    _, (Z, _) = digits
    staged, whole = with_schedule(fitted, "3:10 1:50"), with_schedule(fitted, "1:50")
    errors, full = staged.errors(Z), whole.errors(Z)
    best = np.argsort(errors, axis=1)[:, :2]  # a dropped class may be level with the last that was kept
    np.testing.assert_allclose(
        np.take_along_axis(errors, best, axis=1), np.take_along_axis(full, best, axis=1), rtol=1e-4
    )
    rest = np.sort(errors, axis=1)[:, 2:]
    assert (rest >= np.take_along_axis(errors, best, axis=1).max(axis=1, keepdims=True)).all()
    assert (staged.classes_[staged.predict_proba(Z).argmax(axis=1)] == staged.predict(Z)).all()


def test_batches_and_order_change_nothing(digits, fitted):
    _, (Z, _) = digits
    whole = fitted.errors(Z)
    np.testing.assert_allclose(
        np.concatenate([fitted.errors(part) for part in np.split(Z, [1, 7, 40])]), whole, rtol=1e-4
    )
    np.testing.assert_allclose(fitted.errors(Z[::-1])[::-1], whole, rtol=1e-4)


def test_noise_is_a_row_s_own_normal_and_longer_ones_begin_alike():
    Z = np.random.default_rng(0).standard_normal((20, 30))
    noise = noise_of(Z, 40)
    assert abs(noise.mean()) < 0.03
    assert abs(noise.std() - 1) < 0.03
    np.testing.assert_array_equal(noise_of(Z[3:4], 10)[0], noise[3, :10])
    assert not np.allclose(noise[0], noise[1])
    assert not np.allclose(noise_of(Z, 2, salt=b"1"), noise[:, :2])


def test_an_untrained_denoiser_tells_nothing(digits, fitted):
    _, (Z, t) = digits
    rng = np.random.default_rng(0)
    state = {name: rng.permutation(of.ravel()).reshape(of.shape) if name.startswith("denoiser.") else of
             for name, of in fitted.state().items()}  # fmt: skip
    blind = DiffusionClassifier(**{**fitted.get_params(), "schedule": "1:5"}).from_state(state)
    assert blind.score(Z, t) < 0.35


@pytest.mark.parametrize(
    ("settings", "y", "words"),
    [
        ({"width": 0}, [0, 1], "must be at least 1 and loss l1 or l2, got 0, 2, 60, 128 and 'l2'"),
        ({"schedule": "2:10 1:2000"}, [0, 1], r"schedule must be KEEP:EVALUATIONS .* to at most 1000"),
        ({"loss": "huber"}, [0, 1], "128 and 'huber'"),
        ({}, [1, 1], "two classes at least, got 1 class: '1'"),
    ],
)
def test_bad_input_is_refused(settings, y, words):
    with pytest.raises(ValueError, match=words):
        DiffusionClassifier(**settings).fit(np.arange(2.0)[:, None], np.array(y))
