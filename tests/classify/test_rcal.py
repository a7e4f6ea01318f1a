"""RCAL: outliers under wrong labels, tail statistics nearer to the truth, parts switched off, and what it refuses."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from raypipe.classify.rcal import (
    RCAL,
    Gaussians,
    class_gaussians,
    left_out,
    lenders,
    mended,
    outlier_factors,
)
from tests.classify.noisy_tail import SEEDS, found_wrong, noisy_tail, stored


@pytest.fixture(scope="module")
def digits():
    """A long tail of digits, 100 to 5 rows, .2 of the labels flipped by class size: X, given y, true y, the rest."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    sizes = np.round(100 * 20.0 ** (-np.arange(10) / 9)).astype(int)
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:n] for c, n in enumerate(sizes)])
    true = y[rows]
    flipped = rng.random(len(rows)) < 0.2
    given = np.where(flipped, rng.choice(10, len(rows), p=sizes / sizes.sum()), true)
    rest = np.setdiff1d(np.arange(len(y)), rows)
    return X[rows], given, true, (X[rest], y[rest])


def test_wrong_labels_have_higher_outlier_factors_in_head_classes(digits):
    X, given, true, _ = digits
    model = RCAL(random_state=0).fit(X, given)
    factors = outlier_factors((X - model.mean_) @ model.axes_, given)
    areas = [roc_auc_score((true != given)[given == c], factors[given == c]) for c in range(3)]
    assert np.mean(areas) > 0.7
    assert 0 < model.noise_rate_ < 0.3
    assert (true != given)[model.is_left_out_].mean() > 2 * (true != given).mean()


def test_beside_cleanlab_it_is_as_right_about_what_it_leaves_out_but_leaves_out_less():
    ours, theirs = [], [stored()["seeds"][str(seed)] for seed in SEEDS]
    for seed in SEEDS:
        X, given, wrong = noisy_tail(seed)
        model = RCAL(random_state=0).fit(X, given)
        ours.append(found_wrong(model.is_left_out_, outlier_factors((X - model.mean_) @ model.axes_, given), wrong))
    ours, theirs = ({name: np.mean([one[name] for one in of]) for name in of[0]} for of in (ours, theirs))
    assert abs(ours["precision"] - theirs["precision"]) < 0.15
    assert 0.25 < ours["recall"] < theirs["recall"]
    assert 0.75 < ours["auroc"] < theirs["auroc"]


def test_the_share_that_it_takes_for_wrong_is_said(digits):
    X, y = digits[0][:200], digits[1][:200]
    model = RCAL(contamination=0.1, random_state=0).fit(X, y)
    said = f"{model.noise_rate_:.1%} of the rows are taken for wrongly labelled and left out, as contamination 0.1 asks"
    assert model.advice() == said
    assert RCAL().from_state(model.state()).advice().startswith(f"{model.noise_rate_:.1%} of the rows")
    assert RCAL(random_state=0).fit(X, y).advice().endswith(", by outlier factors")


def test_a_share_is_kept_to_and_clean_classes_lose_little():
    rng = np.random.default_rng(0)
    Z, y = rng.normal(size=(400, 4)), np.repeat([0, 1, 2], [300, 97, 3])
    factors = outlier_factors(Z, y)
    assert (factors[y == 2] == 1).all()
    assert left_out(factors, y).mean() < 0.1
    assert np.bincount(y[left_out(factors, y, share=0.3)], minlength=3).tolist() == [90, 29, 0]
    assert RCAL(contamination=0.0).fit(Z, y).noise_rate_ == 0


def test_statistics_are_those_of_a_slow_loop():
    rng = np.random.default_rng(1)
    Z, y = rng.normal(size=(60, 3)), np.repeat([0, 1, 2, 3], [30, 20, 8, 2])
    plain = class_gaussians(Z, y, 4, shrinkage=0.1)
    own = Z[y == 2]
    covariance = sum(np.outer(z - own.mean(0), z - own.mean(0)) for z in own) / 7
    right = 0.9 * covariance + 0.1 * np.trace(covariance) / 3 * np.eye(3)
    np.testing.assert_allclose(plain.covariances[2], right)
    weights = lenders(plain, 2)
    assert not weights[:2].any()  # heads: 30 and 20 rows, the median is 14
    raw = np.array([n / np.linalg.norm(plain.means[2] - plain.means[c]) for c, n in ((0, 30), (1, 20))])
    np.testing.assert_allclose(weights[2], [*(raw / raw.sum()), 0, 0])
    found = mended(plain, weights, gamma_mean=0.1, gamma_covariance=0.5)
    np.testing.assert_allclose(found.means[2], 0.9 * plain.means[2] + 0.1 * (weights[2] @ plain.means))
    lent = weights[2, 0] * plain.covariances[0] + weights[2, 1] * plain.covariances[1]
    np.testing.assert_allclose(found.covariances[2], 0.5 * plain.covariances[2] + 0.5 * lent)
    np.testing.assert_array_equal(found.covariances[0], plain.covariances[0])


def test_the_nearest_head_alone_lends_when_q_is_1_and_all_heads_when_there_are_fewer():
    found = Gaussians(np.array([[0.0], [10.0], [8.0]]), np.ones((3, 1, 1)), np.array([50, 40, 3]))
    assert lenders(found, 1)[2].tolist() == [0, 1, 0]
    assert (lenders(found, 9)[2, :2] > 0).all()


def test_tail_statistics_come_nearer_to_the_truth():
    """Classes of one covariance around near means, as the paper assumes; 20 draws."""
    rng, before, after = np.random.default_rng(2), [], []
    for _ in range(20):
        centres = rng.normal(size=(4, 8)) * 0.5
        y = np.repeat(np.arange(4), [200, 150, 10, 10])
        plain = class_gaussians(centres[y] + rng.normal(size=(370, 8)), y, 4)
        better = mended(plain, lenders(plain, 2), gamma_mean=0.1, gamma_covariance=0.5)
        for errors, one in ((before, plain), (after, better)):
            errors.append(
                [np.linalg.norm(one.means[2:] - centres[2:]), np.linalg.norm(one.covariances[2:] - np.eye(8))]
            )
    assert (np.mean(after, axis=0) < 0.95 * np.mean(before, axis=0)).all()


def test_classes_are_made_equally_heavy(digits):
    X, given, _, _ = digits
    model = RCAL(n_samples=50, random_state=0).fit(X, given)
    Z, at = (X - model.mean_) @ model.axes_, given
    rows, labels, weight = model._with_drawn(Z, at, np.bincount(at))
    np.testing.assert_allclose(np.bincount(labels, weight), np.bincount(at).max() + 50)
    assert len(rows) == len(Z) + 500
    alone = RCAL(n_samples=50, keep_rows=False, random_state=0).fit(X, given)
    assert len(alone._with_drawn(Z, at, np.bincount(at))[0]) == 500
    bare = RCAL(n_samples=0).fit(X, given)
    assert (bare._with_drawn(Z, at, np.bincount(at))[2] == 1).all()


def test_a_class_of_one_row_and_constant_columns_are_no_harm(digits):
    X, _, true, (rest, y) = digits
    one = np.flatnonzero(true == 9)[1:]
    kept = np.setdiff1d(np.arange(len(true)), one)
    model = RCAL(random_state=0).fit(np.hstack([X, np.ones((len(X), 1))])[kept], true[kept])
    assert np.isfinite(model.score_samples(np.hstack([rest, np.ones((len(rest), 1))]))).all()
    assert (model.predict(np.hstack([rest, np.ones((len(rest), 1))])) == y).mean() > 0.7


def test_rows_like_the_classes_are_more_familiar_than_others(digits):
    X, given, _, (rest, _) = digits
    model = RCAL(random_state=0).fit(X, given)
    assert np.median(model.score_samples(rest)) > np.median(model.score_samples(16 - rest)) + 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"contamination": 0.7}, r"contamination must be none or in \[0, 0.5\], got 0.7"),
        ({"gamma_mean": 2}, "got 2, 0.5, 2 and 16"),
        ({"n_samples": 0, "keep_rows": False}, "above 0 without keep_rows"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        RCAL(**settings).fit(np.eye(4), [0, 0, 1, 1])


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="two classes at least, got 1 class: 'a'"):
        RCAL().fit(np.eye(3), ["a"] * 3)
