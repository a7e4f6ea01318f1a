"""Arms of an experiment against their controls, paired over seeds: effects, corrected intervals, who won.

An arm differs from its control only where the interval at its level of Holm's procedure excludes zero: over all
comparisons of an experiment a difference is then called by chance at most once in twenty. Where none is shown, it says
how many seeds it would take to see half of the effect that was measured, so that "no difference" isn't read as "the
same".

Source: see `effects`.
Cost: O(c s) for c comparisons of s seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raypipe.evaluate.effects import Effect, holm, holm_level, paired_effect, seeds_needed

Verdict = Literal["better", "worse", "no difference shown", "not judged"]
ByArm = Mapping[str, Mapping[int, float]]
"""arm -> seed -> metric."""


@dataclass(frozen=True)
class Comparison:
    """An arm against its control."""

    arm: str
    control: str
    verdict: Verdict
    """not judged: there are no two seeds that both finished."""
    effect: Effect | None = None
    """How much better the arm is, positive also where the metric is one that falls; interval at `level`."""
    level: float | None = None
    p: float | None = None
    """Corrected for the number of comparisons."""
    seeds_for_half: int | None = None
    """Paired seeds with which an effect of half the measured size is seen four times in five, at this level; None:
    not to be seen at all, or more than can be run."""


def compare_arms(
    values: ByArm, pairs: Sequence[tuple[str, str]], *, lower_is_better: bool, level: float = 0.95
) -> list[Comparison]:
    """Every (arm, control), as one family of comparisons."""
    paired = [_differences(values, arm, control, lower_is_better=lower_is_better) for arm, control in pairs]
    plain = [paired_effect(*both) if len(both[0]) > 1 else None for both in paired]
    p = [effect.p for effect in plain if effect is not None]
    corrected, levels = iter(holm(p).tolist()), iter(holm_level(p, level=level).tolist())
    found = []
    for (arm, control), both, effect in zip(pairs, paired, plain, strict=True):
        if effect is None:
            found.append(Comparison(arm, control, "not judged"))
        else:
            found.append(_judged(arm, control, both, p=next(corrected), level=next(levels)))
    return found


def winner(found: Sequence[Comparison]) -> Comparison | None:
    """The arm whose shown advantage is largest; None where none is shown to be better than its control."""
    better = [one for one in found if one.verdict == "better"]
    return max(better, key=lambda one: one.effect.mean if one.effect else 0.0, default=None)


def _differences(values: ByArm, arm: str, control: str, *, lower_is_better: bool) -> tuple[list[float], list[float]]:
    """The metrics of both over the seeds that both have, signed so that more is better."""
    ours, theirs = values.get(arm, {}), values.get(control, {})
    seeds, sign = sorted(ours.keys() & theirs.keys()), -1.0 if lower_is_better else 1.0
    return [sign * ours[seed] for seed in seeds], [sign * theirs[seed] for seed in seeds]


def _judged(arm: str, control: str, both: tuple[list[float], list[float]], *, p: float, level: float) -> Comparison:
    effect = paired_effect(*both, level=level)
    verdict: Verdict = "better" if effect.low > 0 else "worse" if effect.high < 0 else "no difference shown"
    needed = seeds_needed(effect.mean / 2, effect.spread, level=level)
    return Comparison(arm, control, verdict, effect, level, p, needed)
