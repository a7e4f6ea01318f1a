"""Scales, and ticks at round numbers."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Axis:
    """A scale from values to [0, 1], linear or logarithmic, with its ticks."""

    low: float
    high: float
    is_log: bool = False

    def place(self, values: np.ndarray) -> np.ndarray:
        """Where values lie between low (0) and high (1), clipped to them."""
        low, high = (math.log(self.low), math.log(self.high)) if self.is_log else (self.low, self.high)
        scaled = np.log(np.maximum(values, self.low)) if self.is_log else np.asarray(values, np.float64)
        return np.clip((scaled - low) / (high - low), 0, 1)

    def ticks(self, n: int) -> list[float]:
        """At most about n round numbers inside the axis."""
        return log_ticks(self.low, self.high, n) if self.is_log else round_ticks(self.low, self.high, n)


def axis_of(values: np.ndarray, *, is_log: bool = False, tails: float = 0.005, margin: float = 0.04) -> Axis:
    """An axis over the finite values except the given share in either tail, with a little air around."""
    finite = values[np.isfinite(values) & ((values > 0) | (not is_log))].astype(np.float64)
    if not len(finite):
        return Axis(1, 10, is_log)
    low, high = np.quantile(finite, [tails, 1 - tails])
    if is_log:
        air = max((high / low) ** margin, 1.05)
        return Axis(float(low / air), float(high * air), is_log=True)
    air = (high - low) * margin or abs(high) * margin or 1.0
    return Axis(float(low - air), float(high + air))


def round_ticks(low: float, high: float, n: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, at most n + 1 of them."""
    raw = (high - low) / max(n, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, n: int) -> list[float]:
    """Powers of ten; with 2 and 5 between them, or linear round numbers, where there would be fewer than two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(ticks) >= 2 and (len(ticks) >= n - 1 or factors == (1, 2, 5)):
            return ticks[:: -(-len(ticks) // (n + 1))]
    return round_ticks(low, high, n)


def tick_label(tick: float) -> str:
    """`0.25`, `−1`, `2k`, `1.5M`, `3e−4`: at most some six characters."""
    unit, letter = next((pair for pair in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(tick) >= pair[0]), (1.0, ""))
    text = f"{tick / unit:g}{letter}"
    if 0 < abs(tick) < 1e-3:
        mantissa, exponent = f"{tick:e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    return text.replace("-", "−")
