"""The asymmetric loss: cross-entropy without gammas, slopes as by differences, the mask; the gradient ratio."""

import numpy as np
import pytest

from raypipe.classify.asymmetric_loss import asymmetric_loss, gradient_ratio

RNG = np.random.default_rng(0)
LOGITS, TARGETS = 3 * RNG.normal(size=(20, 6)), RNG.random((20, 6)) < 0.3


def test_without_gammas_and_margin_it_is_binary_cross_entropy():
    loss, slope = asymmetric_loss(LOGITS, TARGETS, gamma_negative=0, margin=0)
    p = 1 / (1 + np.exp(-LOGITS))
    np.testing.assert_allclose(loss, -np.where(TARGETS, np.log(p), np.log(1 - p)), atol=1e-9)
    np.testing.assert_allclose(slope, p - TARGETS, atol=1e-9)


@pytest.mark.parametrize("gammas", [(0.0, 7.0), (1.0, 4.0), (2.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_slopes_are_those_of_differences(gammas, margin):
    settings = {"gamma_positive": gammas[0], "gamma_negative": gammas[1], "margin": margin}
    up, down = (asymmetric_loss(LOGITS + at, TARGETS, **settings)[0] for at in (1e-5, -1e-5))
    np.testing.assert_allclose(asymmetric_loss(LOGITS, TARGETS, **settings)[1], (up - down) / 2e-5, atol=1e-5)


def test_easy_negatives_below_the_margin_and_masked_classes_have_no_slope():
    logits, counted = np.array([[-4.0, 2.0, 2.0]]), np.array([[True, True, False]])
    loss, slope = asymmetric_loss(logits, np.zeros((1, 3), bool), counted=counted)
    assert slope[0].tolist() == [0.0, pytest.approx(slope[0, 1]), 0.0]
    assert slope[0, 1] > 0
    assert loss[0, 2] == 0


def test_the_largest_logits_give_numbers():
    loss, slope = asymmetric_loss(np.array([[800.0, -800.0]]), np.array([[False, True]]), margin=0)
    assert np.isfinite(loss).all()
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(("n_classes", "ratio"), [(80, 1.2532), (13204, 0.0075), (100, 1.0)])
def test_the_gradient_ratio_is_that_of_arithmetic(n_classes, ratio):
    logits, targets = np.full((4, n_classes), np.log(0.01 / 0.99)), np.zeros((4, n_classes), bool)
    targets[np.arange(4), [0, 3, 9, 9]] = True
    _, slope = asymmetric_loss(logits, targets, gamma_negative=0, margin=0)
    assert gradient_ratio(slope, targets) == pytest.approx(ratio, rel=0.01)
    assert gradient_ratio(slope, targets) == pytest.approx(0.99 / ((n_classes - 1) * 0.01), rel=1e-6)
    assert np.isnan(gradient_ratio(slope, targets & False))
