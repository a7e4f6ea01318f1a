"""Do the chosen heads really retrieve? The rules that what was measured must keep.

Source: dossier checks 2 and 3 of AttentionInfluence (the paper's analogue is its table of masked benchmarks): heads
that retrieve wreck the answers of fresh probes, far more than random heads of the same layers, and far more than they
hurt plain prose. The draws are never cleaned: a control that was tidied is no control.
Departures: the model must be able to do the task at all, or ratios of noise would pass: it must say more of the answers
than where the context holds another value under the key, and its heads must cost it a real amount. Each rule is kept by
the low end of an interval, over probes or over draws, so that other probes or draws would give the same verdict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.arrays.bootstrap import bootstrap_interval

MIN_DRAWS, MAX_DRAWS = 8, 48
MIN_SAID = 0.2
"""Share of the answers' tokens that the value in the context must add."""
MIN_GAIN = 0.5
"""Nats a token that the value in the context must take off the answers' loss."""
MIN_COST = 0.2
"""Nats a token that neutralising the heads must put on it."""
MIN_RISE_OVER_DRAWS = 3.0
MIN_SELECTIVITY_OVER_DRAWS = 2.0
NOISE = 0.01
"""Nats a token; a rise below it is noise, and dividing by it would say anything."""


@dataclass(frozen=True)
class ProbeResult:
    """What a model does on probes and prose: nats a token, share of answer tokens said, nats a token."""

    loss: float
    accuracy: float
    prose_loss: float


@dataclass(frozen=True)
class Answers:
    """What some variants of a model do on each probe: [v, n], means over the tokens of its answer."""

    losses: np.ndarray
    said: np.ndarray
    """Shares of the tokens that were the likeliest."""


@dataclass(frozen=True)
class Rule:
    """A condition for trusting the heads."""

    rule: str
    value: float
    """What decides: where there is an interval, its low end."""
    bar: float
    passed: bool
    estimate: float | None = None
    """What was measured, inside the interval."""
    high: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether more draws wouldn't change the outcome, as far as the interval tells."""
        return self.passed or self.high is None or self.high < self.bar


def judge_task(present: Answers, absent: Answers, *, seed: int) -> list[Rule]:
    """Whether the intact model retrieves, and its heads matter to that.

    `present` is the intact model and the one without the heads on probes; `absent` the intact model on the same probes
    with another value under the key.
    """
    said, lost = present.said[0] - absent.said[0], absent.losses[0] - present.losses[0]
    cost = present.losses[1] - present.losses[0]
    return [
        _over_probes("share of the answers that the intact model owes to the context", said, MIN_SAID, seed),
        _over_probes("nats a token that the intact model owes to the context", lost, MIN_GAIN, seed),
        _over_probes("rise of the answer loss without the heads, nats a token", cost, MIN_COST, seed),
    ]


def judge_draws(intact: ProbeResult, chosen: ProbeResult, draws: Sequence[ProbeResult], *, seed: int) -> list[Rule]:
    """The rules that the chosen heads must keep against at least MIN_DRAWS random draws.

    Raises
    ------
    ValueError
        If there are too few draws.
    """
    if len(draws) < MIN_DRAWS:
        raise ValueError(f"draws must be at least {MIN_DRAWS}, got {len(draws)}.")
    rises = np.array([draw.loss - intact.loss for draw in draws])
    selectivities = np.array([_selectivity(intact, draw) for draw in draws])
    rise, selectivity = chosen.loss - intact.loss, _selectivity(intact, chosen)
    above = "rise of the answer loss above every draw's"
    return [
        _over_draws("rise of the answer loss over the draws' median rise", rise, rises, MIN_RISE_OVER_DRAWS, seed),
        Rule(above, rise, float(rises.max()), bool(rise > rises.max())),
        _over_draws(
            "rise on probes over rise on prose, over the draws' median", selectivity, selectivities,
            MIN_SELECTIVITY_OVER_DRAWS, seed,
        ),
    ]  # fmt: skip


def _over_probes(rule: str, differences: np.ndarray, bar: float, seed: int) -> Rule:
    return _by_interval(rule, differences, lambda drawn: drawn.mean(axis=-1), bar, seed)


def _over_draws(rule: str, chosen: float, draws: np.ndarray, bar: float, seed: int) -> Rule:
    return _by_interval(rule, draws, lambda drawn: chosen / np.maximum(np.median(drawn, axis=-1), NOISE), bar, seed)


def _by_interval(
    rule: str, values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], bar: float, seed: int
) -> Rule:
    low, high = bootstrap_interval(values, statistic, seed=seed)
    return Rule(f"{rule} (low end of the 95 % interval)", low, bar, low >= bar, float(statistic(values)), high)


def _selectivity(intact: ProbeResult, changed: ProbeResult) -> float:
    return (changed.loss - intact.loss) / max(changed.prose_loss - intact.prose_loss, NOISE)
