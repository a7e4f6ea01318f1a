import numpy as np
import pytest
from scipy import stats

from raypipe.evaluate.effects import holm, holm_level, paired_effect, seeds_needed


def test_an_effect_is_scipys_paired_t_test():
    rng = np.random.default_rng(0)
    treated, control = rng.normal(0.3, 1, 9), rng.normal(0, 1, 9)
    effect, reference = paired_effect(treated, control), stats.ttest_rel(treated, control)
    interval = reference.confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert effect.p == pytest.approx(reference.pvalue, rel=1e-12)
    assert effect.mean == pytest.approx((treated - control).mean())


def test_pairing_sees_what_seeds_hide():
    base = np.random.default_rng(1).normal(0, 10, 6)
    effect = paired_effect(base + 1 + 0.01 * np.arange(6), base)
    assert effect.low > 0.9


def test_alike_differences_have_no_width():
    assert paired_effect([1.0, 2.0], [0.0, 1.0]).p == 0
    same = paired_effect([1.0, 2.0], [1.0, 2.0])
    assert (same.low, same.high, same.p) == (0, 0, 1)


@pytest.mark.parametrize(("treated", "control"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([], [])])
def test_unpaired_or_single_seeds_are_refused(treated, control):
    with pytest.raises(ValueError, match="the same two or more seeds"):
        paired_effect(treated, control)


def slow_holm(p):
    """By the definition: the k-th smallest is rejected at alpha if all smaller ones are, at alpha / (m - k + 1)."""
    found = []
    for value in p:
        smaller = sorted(other for other in p if other <= value)
        found.append(min(1.0, max((len(p) - k) * q for k, q in enumerate(smaller))))
    return found


def test_holm_equals_its_definition():
    rng = np.random.default_rng(2)
    for m in (1, 2, 5, 9):
        p = rng.random(m) ** 3
        assert holm(p) == pytest.approx(slow_holm(list(p)))
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])  # Holm's arithmetic by hand
    assert holm([0.04, 0.03]).tolist() == pytest.approx([0.06, 0.06])
    assert holm([]).tolist() == []


def test_intervals_at_holms_levels_exclude_zero_exactly_where_holm_rejects():
    rng, disagreements, rejected = np.random.default_rng(3), 0, 0
    for _ in range(200):
        arms = [rng.normal(shift, 1, 8) for shift in (0, 0.5, 1, 1.5)]
        p = [paired_effect(arm, np.zeros(8)).p for arm in arms]
        for arm, corrected, level in zip(arms, holm(p), holm_level(p), strict=True):
            effect = paired_effect(arm, np.zeros(8), level=level)
            excludes = effect.low > 0 or effect.high < 0
            disagreements += excludes != (corrected <= 0.05)
            rejected += excludes
    assert disagreements == 0
    assert 100 < rejected < 700


def test_so_many_seeds_see_the_effect_as_often_as_promised():
    n, rng = seeds_needed(0.5, 1.0), np.random.default_rng(4)
    assert n == 34  # the textbook's table: d = .5, two-sided .05, power .8, paired
    seen = np.mean([paired_effect(rng.normal(0.5, 1, n), np.zeros(n)).p < 0.05 for _ in range(2000)])
    assert seen == pytest.approx(0.8, abs=0.03)


def test_seeds_needed_at_the_edges():
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-6, 1.0) is None
    assert seeds_needed(1.0, 0.0) == 2
    assert seeds_needed(1e6, 1e-3) == 2
    with pytest.raises(ValueError, match="at least 0, got -1"):
        seeds_needed(1.0, -1.0)
