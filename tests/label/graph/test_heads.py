"""Heads on class vectors beside slow forms, and what they find of classes without rows."""

import numpy as np
import pytest

from raypipe.label.graph.heads import bilinear, regressed, seen_unseen, synthesised, with_prior
from raypipe.label.graph.splits import ClassSplit

RNG = np.random.default_rng(0)
A = RNG.normal(size=(6, 10))  # class vectors [20, 6] -> means [20, 10]
Z = RNG.normal(size=(20, 6))
Y = np.repeat(np.arange(20), 30)
X = Z[Y] @ A + 0.7 * RNG.normal(size=(600, 10))
SEEN, UNSEEN = Z[:15], Z[15:]
ROWS = Y < 15


def test_weights_of_unseen_classes_are_those_of_ridge_regression() -> None:
    targets = RNG.normal(size=(15, 4))
    Zc = SEEN - SEEN.mean(axis=0)
    slopes = np.linalg.solve(Zc.T @ Zc + 0.5 * np.eye(6), Zc.T @ (targets - targets.mean(axis=0)))
    expected = targets.mean(axis=0) + (UNSEEN - SEEN.mean(axis=0)) @ slopes
    np.testing.assert_allclose(regressed(SEEN, targets, UNSEEN, penalty=0.5), expected, atol=1e-10)


def test_bilinear_minimises_its_squares() -> None:
    M = bilinear(X[ROWS], Y[ROWS], SEEN, penalty=1e-9)
    targets = np.where(Y[ROWS][:, None] == np.arange(15), 1.0, -1.0)
    slow = np.linalg.lstsq(np.kron(X[ROWS], SEEN), targets.ravel(), rcond=None)[0].reshape(10, 6)
    np.testing.assert_allclose(M, slow, atol=1e-5)


def test_unseen_classes_are_found_by_each_head() -> None:
    rows, y = X[~ROWS], Y[~ROWS] - 15
    by_bilinear = (rows @ bilinear(X[ROWS], Y[ROWS], SEEN) @ UNSEEN.T).argmax(axis=1)
    means = np.stack([X[label == Y].mean(axis=0) for label in range(15)])
    centres = regressed(SEEN, means, UNSEEN)
    by_means = ((rows[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    made, labels = synthesised(X[ROWS], Y[ROWS], SEEN, UNSEEN, random_state=1)
    of_made = np.stack([made[labels == label].mean(axis=0) for label in range(5)])
    by_made = ((rows[:, None] - of_made) ** 2).sum(axis=2).argmin(axis=1)
    for said in (by_bilinear, by_means, by_made):
        assert (said == y).mean() > 0.6  # 1/5 by chance


def test_synthesised_rows_lie_around_regressed_means_as_seen_rows_do() -> None:
    made, labels = synthesised(X[ROWS], Y[ROWS], SEEN, UNSEEN, n_each=4000, random_state=0)
    assert np.bincount(labels).tolist() == [4000] * 5
    means = np.stack([X[label == Y].mean(axis=0) for label in range(15)])
    np.testing.assert_allclose(made[labels == 2].mean(axis=0), regressed(SEEN, means, UNSEEN)[2], atol=0.06)
    within = (X[ROWS] - means[Y[ROWS]]).std(axis=0)
    np.testing.assert_allclose(made[labels == 2].std(axis=0), within, atol=0.04)
    again, _ = synthesised(X[ROWS], Y[ROWS], SEEN, UNSEEN, n_each=4000, random_state=0)
    np.testing.assert_array_equal(made, again)


def test_a_prior_fades_with_rows() -> None:
    means, classes = np.eye(2), np.eye(2)[::-1]
    np.testing.assert_allclose(with_prior(means, 1, classes), [[0.5, 0.5], [0.5, 0.5]])
    np.testing.assert_allclose(with_prior(means, 19, classes)[0], [0.95, 0.05])
    np.testing.assert_allclose(with_prior(means, 1, classes, strength=0.0), means)


def test_h_is_the_harmonic_mean_of_mean_recalls() -> None:
    y = np.array([0, 0, 0, 0, 1, 2, 2])
    scores = np.eye(3)[[0, 0, 0, 1, 1, 2, 0]]
    found = seen_unseen(scores, y, np.array([True, True, False]))
    assert found == {"S": (0.75 + 1) / 2, "U": 0.5, "H": pytest.approx(2 * 0.875 * 0.5 / 1.375)}
    moved = seen_unseen(scores, y, np.array([True, True, False]), calibration=2.0)
    assert (moved["S"], moved["U"], moved["H"]) == (0.0, 1.0, 0.0)


def test_what_can_t_be_is_refused() -> None:
    with pytest.raises(ValueError, match="every seen class must have a row, class 0 has none"):
        synthesised(X[Y == 1], Y[Y == 1], SEEN, UNSEEN)
    with pytest.raises(ValueError, match="rows of seen and of unseen classes must be there"):
        seen_unseen(np.eye(2), np.array([0, 1]), np.array([True, True]))
    with pytest.raises(ValueError, match="class 2 is in more than one part"):
        ClassSplit((0, 2), (1,), (2, 3))
    with pytest.raises(ValueError, match="there must be seen and test classes, got 1 and 0"):
        ClassSplit((0,), (1,), ())


def test_a_drawn_split_has_every_class_once() -> None:
    found = ClassSplit.drawn(20, seen=0.5, dev=0.2, seed=3)
    assert sorted([*found.seen, *found.dev, *found.test]) == list(range(20))
    assert (len(found.seen), len(found.dev), len(found.test)) == (10, 4, 6)
    assert ClassSplit.drawn(20, seen=0.5, dev=0.2, seed=3) == found
