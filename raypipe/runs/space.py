"""The space of a sweep: for each setting its values or its range; all of its points, or random ones."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_TRIES = 100
"""Draws that may be repetitions before a space counts as used up."""


@dataclass(frozen=True)
class Values:
    """A setting that takes one of a few values."""

    values: tuple[Any, ...]

    def draw(self, rng: np.random.Generator) -> Any:
        """One of them, all alike."""
        return self.values[int(rng.integers(len(self.values)))]


@dataclass(frozen=True)
class Range:
    """A setting that takes any number from low to high."""

    low: float
    high: float
    log: bool = False
    """Uniform in the logarithm."""
    whole: bool = False
    """Integers only, both ends included."""

    def draw(self, rng: np.random.Generator) -> float | int:
        """A number of the range."""
        if self.whole and not self.log:
            return int(rng.integers(int(self.low), int(self.high) + 1))
        low, high = (np.log(self.low), np.log(self.high)) if self.log else (self.low, self.high)
        value = float(np.exp(rng.uniform(low, high)) if self.log else rng.uniform(low, high))
        return round(value) if self.whole else min(max(value, self.low), self.high)


Space = Mapping[str, Values | Range]


def parse_space(read: Any) -> dict[str, Values | Range]:
    """A space from YAML: a list of values, or a mapping low, high, optionally log.

    Raises
    ------
    ValueError
        If there is no setting, or one is neither; the message names it.
    """
    if not isinstance(read, dict) or not read:
        raise ValueError(f"a space must map settings to values or ranges, got {read or 'nothing'!r}.")
    return {str(name): _parse(str(name), given) for name, given in read.items()}


def _parse(name: str, given: Any) -> Values | Range:
    if isinstance(given, list):
        if not given:
            raise ValueError(f"{name} must have at least one value, got an empty list.")
        return Values(tuple(given))
    if not isinstance(given, dict) or not {"low", "high"} <= set(given) <= {"low", "high", "log"}:
        raise ValueError(f"{name} must be a list of values, or a mapping of low, high and perhaps log, got {given!r}.")
    low, high, log = given["low"], given["high"], given.get("log", False)
    for word, end in (("low", low), ("high", high)):
        if isinstance(end, bool) or not isinstance(end, int | float):
            hint = "; YAML reads 1e-4 as text, write 1.0e-4" if isinstance(end, str) else ""
            raise ValueError(f"{word} of {name} must be a number, got {end!r}{hint}.")
    if not low < high:
        raise ValueError(f"low of {name} must be below its high, got {low} and {high}.")
    if not isinstance(log, bool):
        raise ValueError(f"log of {name} must be true or false, got {log!r}.")
    if log and low <= 0:
        raise ValueError(f"low of {name} must be above 0 for a logarithmic range, got {low}.")
    return Range(low, high, log, whole=isinstance(low, int) and isinstance(high, int))


def grid(space: Space) -> list[dict[str, Any]]:
    """Every combination of the values.

    Raises
    ------
    ValueError
        If a setting has a range, which has no end of values.
    """
    for name, axis in space.items():
        if isinstance(axis, Range):
            raise ValueError(
                f"a grid needs a list of values, but {name} has a range; use another searcher or list them."
            )
    values = [axis.values for axis in space.values() if isinstance(axis, Values)]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*values)]


def draw(space: Space, n: int, *, seed: int) -> list[dict[str, Any]]:
    """Up to `n` different random points, the first of them whatever `n` is; fewer where the space has fewer."""
    rng, points, tries = np.random.default_rng(seed), list[dict[str, Any]](), 0
    while len(points) < n and tries < MAX_TRIES:
        point = {name: axis.draw(rng) for name, axis in space.items()}
        tries = tries + 1 if point in points else 0
        if not tries:
            points.append(point)
    return points
