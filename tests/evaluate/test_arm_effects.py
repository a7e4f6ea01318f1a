import numpy as np
import pytest
from scipy import stats

from raypipe.evaluate.arm_effects import compare_arms, winner

SEEDS = range(6)


def by_arm(**shifts) -> dict[str, dict[int, float]]:
    """A loss by arm and seed: what seeds share is large, an arm's shift small."""
    rng = np.random.default_rng(0)
    base = rng.normal(3, 1, len(SEEDS))
    return {
        arm: {seed: float(base[seed] + shift + rng.normal(0, 0.01)) for seed in SEEDS} for arm, shift in shifts.items()
    }


def test_an_arm_with_a_lower_loss_in_every_seed_wins_and_the_sizes_are_those_of_a_paired_t_test():
    values = by_arm(random=0, good=-0.1, bad=0.2, same=0)
    pairs = [(arm, "random") for arm in ("good", "bad", "same")]
    found = compare_arms(values, pairs, lower_is_better=True)
    assert [one.verdict for one in found] == ["better", "worse", "no difference shown"]
    assert winner(found) == found[0]
    assert found[0].effect.mean == pytest.approx(0.1, abs=0.02)
    last = stats.ttest_rel(list(values["random"].values()), list(values["same"].values()))
    assert found[2].p == pytest.approx(last.pvalue)  # the largest p stays what it was
    assert found[2].seeds_for_half > len(SEEDS)


def test_a_metric_that_rises_turns_the_sign():
    found = compare_arms(by_arm(random=0, good=0.1), [("good", "random")], lower_is_better=False)
    assert found[0].verdict == "better"


@pytest.mark.slow
def test_what_one_comparison_shows_twenty_do_not():
    """Chance alone, a hundred times: some arm of twenty is called different in at most one experiment of twenty."""
    rng, called = np.random.default_rng(1), {1: 0, 20: 0}
    for n_arms in called:
        for _ in range(100):
            values = {str(arm): dict(enumerate(rng.normal(0, 1, 4))) for arm in range(n_arms)}
            values["random"] = dict.fromkeys(range(4), 0.0)
            found = compare_arms(values, [(str(arm), "random") for arm in range(n_arms)], lower_is_better=True)
            called[n_arms] += any(one.verdict != "no difference shown" for one in found)
    assert called[1] < 10
    assert called[20] < 10


def test_only_seeds_that_both_have_count_and_one_is_not_judged():
    values = by_arm(random=0, good=-0.1, lost=-0.1)
    values["lost"] = {3: 1.0}
    values["good"].pop(0)
    found = compare_arms(values, [("good", "random"), ("lost", "random"), ("none", "random")], lower_is_better=True)
    assert [one.verdict for one in found] == ["better", "not judged", "not judged"]
    assert found[0].effect.n == 5
    assert found[0].level == 0.95  # those that can't be judged don't widen the others' intervals


def test_nothing_shown_has_no_winner():
    values = {"random": {0: 1.0, 1: 2.0}, "arm": {0: 2.0, 1: 1.0}}
    found = compare_arms(values, [("arm", "random")], lower_is_better=True)
    assert winner(found) is None
    assert found[0].seeds_for_half is None  # an effect of 0 is never seen
