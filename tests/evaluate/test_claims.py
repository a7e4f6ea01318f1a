import numpy as np
import pytest

from raypipe.evaluate.claims import Claim, judge, share_shown_by_chance
from raypipe.evaluate.recovered_gap import ratio_interval

BETTER = Claim(sentence="a is better by .1", metric="accuracy", of="a", over="b", at_least=0.1)


def values(a, b, data="d", metric="accuracy"):
    return {(arm, data): {seed: {metric: value} for seed, value in enumerate(of)} for arm, of in (("a", a), ("b", b))}


@pytest.mark.parametrize(
    ("a", "verdict"),
    [
        ([0.80, 0.81, 0.79, 0.80], "shown"),
        ([0.61, 0.62, 0.60, 0.61], "not shown"),
        ([0.55, 0.56, 0.54, 0.55], "contradicted"),
        ([0.2, 0.9, 0.1, 0.8], "not shown"),
    ],
)
def test_a_claim_is_judged_by_where_its_whole_interval_lies(a, verdict):
    assert judge(BETTER, values(a, [0.50, 0.52, 0.49, 0.51])).verdict == verdict


def test_lower_may_be_better():
    claim = Claim(sentence="", metric="accuracy", of="a", over="b", lower_is_better=True)
    assert judge(claim, values([0.1, 0.11, 0.1], [0.5, 0.52, 0.5])).verdict == "shown"
    assert judge(claim, values([0.5, 0.52, 0.5], [0.1, 0.11, 0.1])).verdict == "contradicted"


def test_arms_may_be_claimed_to_be_alike():
    claim = Claim(sentence="", metric="accuracy", of="a", over="b", within=0.02)
    near, far = [0.501, 0.498, 0.502], [0.55, 0.551, 0.549]
    assert judge(claim, values(near, [0.5] * 3)).verdict == "shown"
    assert judge(claim, values(far, [0.5] * 3)).verdict == "contradicted"
    assert judge(claim, values([0.4, 0.6, 0.5], [0.5] * 3)).verdict == "not shown"


def test_data_sets_are_averaged_seed_by_seed_and_seeds_must_be_on_both_sides():
    both = {**values([0.9, 0.8, 0.7], [0.5, 0.5], "d"), **values([0.5, 0.6, 0.7], [0.5, 0.5], "e")}
    outcome = judge(BETTER, both)
    assert (outcome.effect.n, outcome.data) == (2, ("d", "e"))
    assert outcome.effect.mean == pytest.approx(0.2)
    only = Claim(**{**BETTER.__dict__, "data": ("e",)})
    assert judge(only, both).effect.mean == pytest.approx(0.05)


def test_a_metric_may_be_compared_with_another_of_the_same_arm():
    claim = Claim(sentence="", metric="x", of="a", over="a", over_metric="y")
    outcome = judge(claim, {("a", "d"): {seed: {"x": 2.0 + seed, "y": 1.0} for seed in range(3)}})
    assert outcome.effect.mean == 2.0


def test_one_seed_and_no_data_show_nothing():
    assert judge(BETTER, values([0.9], [0.1])).verdict == "not shown"
    assert judge(BETTER, {}).verdict == "not shown"


def test_chance_shows_a_sound_claim_rarely_and_one_that_cant_fail_always():
    assert share_shown_by_chance(BETTER, n_seeds=8) <= 0.03
    assert share_shown_by_chance(Claim(sentence="", metric="x", of="a", over="b"), n_seeds=8) <= 0.05
    hollow = Claim(sentence="", metric="x", of="a", over="b", at_least=-2.0)
    assert share_shown_by_chance(hollow, n_seeds=8) == 1.0
    assert share_shown_by_chance(Claim(sentence="", metric="x", of="a", over="b", within=3.0), n_seeds=8) == 1.0


@pytest.mark.parametrize(
    ("more", "words"), [({"over": "a"}, "with itself"), ({"within": 0.0}, "above 0"), ({"within": 0.1}, "alone")]
)
def test_a_claim_without_a_rival_or_with_two_bars_is_refused(more, words):
    with pytest.raises(ValueError, match=words):
        Claim(**{**BETTER.__dict__, **more})


def of_gaps(low, at, high):
    return {
        ("a", "d"): {
            s: {"x": x, "low": lo, "high": hi} for s, (lo, x, hi) in enumerate(zip(low, at, high, strict=True))
        }
    }


def share(**more):
    return Claim(**{"sentence": "", "metric": "x", "of": "a", "over": "a", "over_metric": "low", "share_of": "high",
                    "at_least": 0.3, **more})  # fmt: skip


def test_a_share_of_a_gap_is_of_mean_accuracies_with_the_interval_of_the_recovered_gap():
    low, at, high = [0.6, 0.62, 0.58, 0.61], [0.75, 0.74, 0.73, 0.76], [0.9, 0.91, 0.9, 0.92]
    outcome = judge(share(), of_gaps(low, at, high))
    gains, gaps = np.array(at) - low, np.array(high) - low
    assert outcome.effect.mean == pytest.approx(gains.mean() / gaps.mean())
    assert (outcome.effect.low, outcome.effect.high) == ratio_interval(gains, gaps)
    assert outcome.verdict == "shown"
    assert outcome.effect.p < 0.05
    assert judge(share(at_least=0.9), of_gaps(low, at, high)).verdict == "contradicted"
    assert share().bar == "above 0.3 of the gap"


@pytest.mark.parametrize("high", [[0.61, 0.6, 0.62, 0.57], [0.5, 0.51, 0.5, 0.5]])
def test_a_share_of_a_gap_that_may_be_none_is_not_shown(high):
    outcome = judge(share(), of_gaps([0.6, 0.62, 0.58, 0.61], [0.75, 0.74, 0.73, 0.76], high))
    assert (outcome.verdict, outcome.effect, outcome.data) == ("not shown", None, ("d",))


def test_a_share_is_shown_by_chance_rarely_and_has_no_other_bar():
    assert share_shown_by_chance(share(), n_seeds=8) <= 0.03
    with pytest.raises(ValueError, match="a share has a bar to be above"):
        share(lower_is_better=True)
