"""The rules for trusting heads: each fails for the reason that it stands for, and for random weights in every seed."""

import numpy as np
import pytest

from raypipe.lm.decoder import Decoder
from raypipe.score.heads.causal_check import causal_check
from raypipe.score.heads.probes import RetrievalProbe
from raypipe.score.heads.retrieval_heads import score_heads, top_heads
from raypipe.score.heads.verdict import Answers, ProbeResult, judge_draws, judge_task
from tests.tiny import random_documents, tiny_model

INTACT = ProbeResult(0.4, 0.9, 3.0)
DRAWS = [
    ProbeResult(0.4 + rise, 0.85, 3.0 + prose)
    for rise, prose in ((0.1, 0.1), (0.5, 0.4), (0.4, 0.5), (0.3, 2.9), (0.2, 0.1))
] * 2
N = 16


def answers(losses, said, *, spread=0.05):
    """Variants with these means on N probes."""
    noise = np.random.default_rng(0).normal(0, spread, (len(losses), N))
    return Answers(np.array(losses)[:, None] + noise, np.clip(np.array(said)[:, None] + noise, 0, 1))


def test_heads_that_wreck_answers_and_spare_prose_pass():
    assert all(rule.passed for rule in judge_draws(INTACT, ProbeResult(4.8, 0.2, 3.8), DRAWS, seed=0))


@pytest.mark.parametrize(
    ("chosen", "failing"),
    [(ProbeResult(0.9, 0.8, 3.05), 0), (ProbeResult(0.85, 0.8, 3.2), 1), (ProbeResult(4.8, 0.2, 12.0), 2)],
    ids=["less than three times the draws", "below a draw", "as bad for prose"],
)
def test_heads_that_a_draw_comes_near_fail(chosen, failing):
    assert not judge_draws(INTACT, chosen, DRAWS, seed=0)[failing].passed


def test_a_check_with_too_few_draws_is_refused():
    with pytest.raises(ValueError, match="at least 8, got 7"):
        judge_draws(INTACT, INTACT, DRAWS[:7], seed=0)


def test_rises_of_a_hundred_thousandth_of_a_nat_are_noise():
    """What a random model passed by: ratios of nothing to nothing."""
    chosen = ProbeResult(INTACT.loss + 2e-5, 0.0, INTACT.prose_loss - 1e-4)
    draws = [ProbeResult(INTACT.loss + at * 1e-7, 0.0, INTACT.prose_loss) for at in range(8)]
    rules = judge_draws(INTACT, chosen, draws, seed=0)
    assert [rule.passed for rule in rules] == [False, True, False]
    assert all(rule.is_settled for rule in rules)


def test_an_outcome_that_other_draws_would_turn_is_not_settled():
    wide = [ProbeResult(0.4 + rise, 0.9, 3.0 + rise) for rise in (0.05, 0.06, 0.07, 0.08, 2.0, 2.1, 2.2, 2.3)]
    first = judge_draws(INTACT, ProbeResult(1.8, 0.2, 3.1), wide, seed=0)[0]
    assert first.value < 3.0 < (first.high or 0)
    assert not first.is_settled
    assert not first.passed


@pytest.mark.parametrize(
    ("present", "absent", "failing"),
    [
        (answers([0.3, 4.0], [0.9, 0.2]), answers([5.0], [0.2]), set()),
        (answers([4.6, 6.0], [0.3, 0.2]), answers([5.0], [0.2]), {0, 1}),
        (answers([0.3, 4.0], [0.9, 0.2]), answers([0.5], [0.85]), {0, 1}),
        (answers([0.3, 0.35], [0.9, 0.9]), answers([5.0], [0.2]), {2}),
    ],
    ids=["retrieves", "can't do the task", "knows the answers anyhow", "its heads cost nothing"],
)
def test_the_model_must_retrieve_and_its_heads_must_matter(present, absent, failing):
    rules = judge_task(present, absent, seed=0)
    assert {at for at, rule in enumerate(rules) if not rule.passed} == failing
    assert all(rule.value <= rule.estimate <= rule.high for rule in rules)


def test_a_mean_above_the_bar_with_probes_far_apart_does_not_pass():
    said = np.array([[1.0] * 3 + [0.0] * 13, [0.0] * 16])  # mean .19 to .25 by the draw of probes
    assert not judge_task(Answers(1 - said, said), Answers(np.ones((1, 16)), np.zeros((1, 16))), seed=0)[0].passed


@pytest.mark.parametrize("seed", range(9))
def test_heads_of_random_weights_fail_in_every_seed(seed):
    """Two of nine passed when only ratios were looked at."""
    rng = np.random.default_rng(seed)
    decoder = Decoder(tiny_model(seed=seed), max_tokens=64)
    probes = [planted(rng) for _ in range(8)]
    chosen = top_heads(score_heads(decoder, probes, token_budget=256).strict, share=0.13)
    prose = [one.numpy() for one in random_documents([60] * 6, seed=seed)]
    check = causal_check(
        decoder, chosen, [planted(rng) for _ in range(8)], prose, n_draws=8, seed=seed, token_budget=256
    )
    assert not check["passed"]
    assert [rule["passed"] for rule in check["rules"][:2]] == [False, False]
    assert len(check["draws"]) == 8  # no more are tried where the model can't do the task


def planted(rng):
    """A probe of random tokens whose answer stands in its context, and another value that doesn't."""
    ids = rng.integers(0, 200, 60)
    ids[50:56] = ids[10:16]
    return RetrievalProbe(ids, np.arange(50, 56), (10, 16), rng.integers(0, 200, 6))
