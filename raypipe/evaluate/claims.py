"""Claims of a paper as sentences with bars, and what seeds say of them: shown, not shown, contradicted.

A claim compares a metric of two arms, paired over seeds; one of the two may be a negative control. It is shown where
the whole 95 % interval of the effect lies on the claim's side of its bar, contradicted where all of it lies on the
other, and not shown otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from raypipe.evaluate.effects import Effect, paired_effect
from raypipe.evaluate.recovered_gap import ratio_interval

Verdict = Literal["shown", "not shown", "contradicted"]
Values = Mapping[tuple[str, str], Mapping[int, Mapping[str, float]]]
"""(arm, data set) -> seed -> metrics."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence, and what would refute it. The bar is set before the run, from the dossier."""

    sentence: str
    metric: str
    of: str
    """The arm that it speaks of."""
    over: str
    """The arm that it is compared with: a rival, an ablation, the negative control."""
    over_metric: str | None = None
    """Of the other arm, where it isn't the same."""
    at_least: float = 0.0
    """How far `of` must be above `over` (below it, where lower is better)."""
    share_of: str | None = None
    """A metric of `of`: the effect is then the share of the way from the other arm's metric to this one, as PGR is."""
    within: float | None = None
    """Instead: how far they may differ, either way."""
    lower_is_better: bool = False
    data: tuple[str, ...] = ()
    """The data sets that it speaks of; (): all, averaged seed by seed."""

    def __post_init__(self) -> None:
        """Refuse what can't be read as a bar."""
        if self.within is not None and (self.within <= 0 or self.at_least):
            raise ValueError(f"within must be above 0 and alone, got {self.within} and at_least {self.at_least}.")
        if self.share_of is not None and (self.within is not None or self.lower_is_better):
            raise ValueError(f"a share has a bar to be above, no other: {self.sentence!r}.")
        if (self.of, self.metric) == (self.over, self.over_metric or self.metric):
            raise ValueError(f"a claim must compare two things, got {self.of} with itself: {self.sentence!r}.")

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.within is not None:
            return f"within ±{self.within:g}"
        return f"above {self.at_least:g}" + (" of the gap" if self.share_of is not None else "")


@dataclass(frozen=True)
class Outcome:
    """What came of a claim."""

    claim: Claim
    verdict: Verdict
    effect: Effect | None
    """On the claim's side positive; None where no two seeds have both arms, or a share has no bounded interval."""
    data: tuple[str, ...]
    """The data sets that it rests on."""


def judge(claim: Claim, values: Values) -> Outcome:
    """What the metrics say of a claim; data sets that an arm or a seed lacks are left out."""
    names = sorted(
        {name for arm, name in values if arm == claim.of} & {name for arm, name in values if arm == claim.over}
    )
    names = [name for name in names if not claim.data or name in claim.data]
    treated, control, top = [], [], []
    for seed in _seeds(claim, values, names):
        treated.append(float(np.mean([values[claim.of, name][seed][claim.metric] for name in names])))
        other = claim.over_metric or claim.metric
        control.append(float(np.mean([values[claim.over, name][seed][other] for name in names])))
        top.append(float(np.mean([values[claim.of, name][seed][claim.share_of or claim.metric] for name in names])))
    if len(treated) < 2:
        return Outcome(claim, "not shown", None, tuple(names))
    if claim.share_of is not None:
        share = shared_effect(treated, control, top, at_least=claim.at_least)
        return Outcome(claim, "not shown" if share is None else _verdict(claim, share), share, tuple(names))
    effect = paired_effect(control, treated) if claim.lower_is_better else paired_effect(treated, control)
    return Outcome(claim, _verdict(claim, effect), effect, tuple(names))


def shared_effect(
    treated: Sequence[float], control: Sequence[float], top: Sequence[float], *, at_least: float = 0.0
) -> Effect | None:
    """The share of the gap from control to top that treated makes up, of means over paired seeds: [s] each.

    With Fieller's interval; None where that isn't bounded, or the top isn't above. `p` is of a share of `at_least`.
    """
    low, gaps = np.asarray(control, float), np.asarray(top, float) - np.asarray(control, float)
    gains = np.asarray(treated, float) - low
    ends = ratio_interval(gains, gaps)
    if ends is None or gaps.mean() <= 0:
        return None
    share = float(gains.mean() / gaps.mean())
    spread = float((gains - share * gaps).std(ddof=1) / gaps.mean())
    p = paired_effect((gains - at_least * gaps).tolist(), [0.0] * len(gaps)).p
    return Effect(share, *ends, len(gaps), spread, p)


def _seeds(claim: Claim, values: Values, names: Sequence[str]) -> list[int]:
    """The seeds that both arms have on every data set."""
    of_each = [set(values[arm, name]) for arm in (claim.of, claim.over) for name in names]
    return sorted(set.intersection(*of_each)) if of_each else []


def _verdict(claim: Claim, effect: Effect) -> Verdict:
    if claim.within is not None:
        if -claim.within < effect.low and effect.high < claim.within:
            return "shown"
        return "contradicted" if effect.low > claim.within or effect.high < -claim.within else "not shown"
    if effect.low > claim.at_least:
        return "shown"
    return "contradicted" if effect.high < claim.at_least else "not shown"


def share_shown_by_chance(claim: Claim, *, n_seeds: int, n_draws: int = 400, seed: int = 0) -> float:
    """How often a claim would be shown if metrics were chance: numbers from 0 to 1, whatever the arm.

    A claim that chance shows more often than its interval's level allows can't fail.
    """
    rng, shown = np.random.default_rng(seed), 0
    metrics = (claim.metric, claim.over_metric or claim.metric, claim.share_of or claim.metric)
    for _ in range(n_draws):
        values: dict[tuple[str, str], dict[int, dict[str, float]]] = {
            (arm, "chance"): {s: dict(zip(metrics, rng.random(3).tolist(), strict=True)) for s in range(n_seeds)}
            for arm in (claim.of, claim.over)
        }
        shown += judge(_on_any_data(claim), values).verdict == "shown"
    return shown / n_draws


def _on_any_data(claim: Claim) -> Claim:
    return Claim(**{**claim.__dict__, "data": ()})
