"""Learned rules as bounds of one number each, which can be written down, read and applied elsewhere.

A rule's model knows one feature: a stump is constant on both sides of its threshold and a regression rises or falls all
along, so that where its probability is off 1/2 by the band is what lies beyond a bound, or two.
Source: P. Varma and C. Re, Snuba, VLDB 2018, section 3.1 (the heuristics and their abstentions).
Cost: O(1) a rule.
"""

from dataclasses import dataclass

import numpy as np

from raypipe.label.autows.rules import Rules


@dataclass(frozen=True)
class Bounds:
    """What one rule votes for: `above` where feature `entry` is `at_least` so much, `below` where `at_most`."""

    entry: int
    above: int | None
    at_least: float | None
    below: int | None
    at_most: float | None


def bounds_of(rules: Rules) -> list[Bounds]:
    """Of each rule that ever votes, once, in their order; classes are 0 and 1."""
    found: dict[Bounds, None] = {}
    for made, number, band in zip(rules.candidates, rules.numbers, rules.bands, strict=True):
        d = len(made.threshold)
        entry = number % d
        if number < d:
            one = _of_stump(entry, float(made.threshold[entry]), made.leaves[:, entry], band)
        else:
            line = float(made.mean[entry]), float(made.scale[entry]), made.weights[:, entry]
            one = _of_regression(entry, *line, band)
        if one.above is not None or one.below is not None:
            found[one] = None
    return list(found)


def _of_stump(entry: int, threshold: float, leaves: np.ndarray, band: float) -> Bounds:
    low, high = (_vote(float(share), band) for share in leaves)
    beyond = float(np.nextafter(threshold, np.inf))  # the threshold itself lies on the lower side
    return Bounds(entry, high, None if high is None else beyond, low, None if low is None else threshold)


def _vote(probability: float, band: float) -> int | None:
    return 1 if probability >= 0.5 + band else 0 if probability <= 0.5 - band else None


def _of_regression(entry: int, mean: float, scale: float, weights: np.ndarray, band: float) -> Bounds:
    """A flat one votes everywhere or nowhere; a rising one for 1 above, a falling one for 0."""
    intercept, slope = map(float, weights)
    if abs(slope) < 1e-9:
        always = _vote(1 / (1 + np.exp(-intercept)), band)
        return Bounds(entry, always, None if always is None else float(-np.finfo(np.float64).max), None, None)
    needed = np.log((0.5 + band) / (0.5 - band))  # of the logit, either way
    ends = [mean + scale * (sign * needed - intercept) / slope for sign in (1, -1)]
    high, low = max(ends), min(ends)
    return Bounds(entry, int(slope > 0), float(high), int(slope <= 0), float(low))
