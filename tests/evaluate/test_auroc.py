"""Areas under ROC curves."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from raypipe.evaluate.auroc import auroc, tpr_at_fpr


@pytest.mark.parametrize("seed", range(5))
def test_area_and_height_equal_scikit_learns_with_ties(seed):
    rng = np.random.default_rng(seed)
    is_member = rng.random(300) < 0.4
    score = np.round(rng.normal(size=300) + is_member, 1)
    assert auroc(score, is_member).auroc == pytest.approx(roc_auc_score(is_member, score))
    fpr, tpr, _ = roc_curve(is_member, score, drop_intermediate=False)
    for bar in (0.0, 0.01, 0.05, 0.3, 1.0):
        assert tpr_at_fpr(score, is_member, max_fpr=bar) == pytest.approx(tpr[fpr <= bar + 1e-12].max())


def test_the_error_is_that_over_many_samples():
    rng = np.random.default_rng(0)
    is_member = np.arange(120) < 50
    found = [auroc(rng.normal(size=120) + is_member, is_member) for _ in range(600)]
    spread = np.std([one.auroc for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.1)
    null = np.std([auroc(rng.normal(size=120), is_member).auroc for _ in range(600)])
    assert found[0].null_error == pytest.approx(null, rel=0.1)


def test_told_apart_wholly_or_not_at_all():
    is_member = np.array([True, True, False, False])
    assert auroc(np.array([3.0, 2.0, 1.0, 0.0]), is_member).auroc == 1.0
    assert auroc(np.zeros(4), is_member).auroc == 0.5
    assert auroc(np.array([3.0, 2.0, 1.0, 0.0]), is_member).interval() == (1.0, 1.0)
    assert tpr_at_fpr(np.zeros(4), is_member) == 0.0


def test_one_kind_only_and_nan_are_refused():
    with pytest.raises(ValueError, match="members and others"):
        auroc(np.zeros(3), np.ones(3, bool))
    with pytest.raises(ValueError, match="1 NaN"):
        auroc(np.array([1.0, np.nan]), np.array([True, False]))
    with pytest.raises(ValueError, match=r"max_fpr must be in \[0, 1\], got 2"):
        tpr_at_fpr(np.zeros(2), np.array([True, False]), max_fpr=2)
