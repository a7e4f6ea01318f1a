"""Probes on states: the optimum of their loss, the turns of losses that look at themselves, and what they refuse."""

import numpy as np
import pytest
from scipy.special import expit

from raypipe.classify.probe import fit_probe
from raypipe.losses.soft_labels import Confidence, CrossEntropy, Product


@pytest.fixture
def rows():
    """States [400, 12] whose first axis tells the class, the class, and labels of a teacher that is right in 3 of 4."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    X = rng.normal(size=(400, 12)) * np.linspace(3, 0.5, 12) + 4
    X[:, 0] += 12 * y
    wrong = rng.random(400) < 0.25
    return X, y, np.where(wrong, 1 - y, y) * 0.8 + 0.1


def test_without_a_loss_the_weights_are_where_the_gradient_of_soft_cross_entropy_vanishes(rows):
    X, _, q = rows
    probe = fit_probe(X, q, n_axes=12, C=0.5)
    Z = (X - probe.mean) @ probe.axes
    gaps = expit(Z @ probe.weights + probe.intercept) - q
    np.testing.assert_allclose(0.5 * Z.T @ gaps + probe.weights, 0, atol=1e-2)
    assert abs(gaps.sum()) < 1e-2
    np.testing.assert_allclose(probe.probability(X) - q, gaps, atol=1e-12)


def test_axes_are_those_of_standardised_states_in_one_size(rows):
    X, _, q = rows
    probe = fit_probe(X, q, n_axes=5)
    Z = (X - probe.mean) @ probe.axes
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-9)
    assert (Z**2).mean() == pytest.approx(1.0)
    covariance = np.cov(Z.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)


def test_a_scale_or_a_shift_of_the_states_changes_nothing_and_constant_ones_do_not_count(rows):
    X, _, q = rows
    moved = np.concatenate([X * np.linspace(1, 9, 12) - 3, np.full((400, 1), 7.0)], axis=1)
    np.testing.assert_allclose(fit_probe(moved, q).probability(moved), fit_probe(X, q).probability(X), atol=1e-3)


def test_the_same_rows_give_the_same_probe(rows):
    X, _, q = rows
    one, other = (fit_probe(X, q, loss=Confidence()).probability(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_student_is_more_often_right_than_the_teacher_that_it_learns_from(rows):
    X, y, q = rows
    right = ((fit_probe(X, q).probability(X) >= 0.5) == y).mean()
    assert right > ((q >= 0.5) == y).mean() + 0.1


@pytest.mark.parametrize("loss", [CrossEntropy(), Confidence(aux_coef=0.0), Product(beta=0.0)])
def test_losses_that_are_plain_cross_entropy_give_the_plain_probe(rows, loss):
    X, _, q = rows
    plain = fit_probe(X, q).probability(X)
    np.testing.assert_allclose(fit_probe(X, q, loss=loss).probability(X), plain, atol=1e-4)


@pytest.mark.parametrize("loss", [Confidence(), Product()])
def test_losses_that_look_at_themselves_make_a_surer_student(rows, loss):
    X, _, q = rows
    plain, sure = (np.abs(fit_probe(X, q, loss=one).logits(X)).mean() for one in (None, loss))
    assert sure > 1.2 * plain


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, q: (np.where(X[0, 0] == X, np.nan, X), q), "states must be finite"),
        (lambda X, q: (X, q * 2), r"soft labels must be in \[0, 1\], got 0.2 to 1.8"),
        (lambda X, q: (X[:1].repeat(9, axis=0), q[:9]), "two rows that differ, got 9 rows alike"),
    ],
)
def test_bad_rows_are_refused(rows, change, words):
    X, _, q = rows
    with pytest.raises(ValueError, match=words):
        fit_probe(*change(X, q))
