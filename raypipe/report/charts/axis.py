"""Axes: scales, ticks at round numbers, and the frame that a plot is drawn in.

Shapes are SVG stretched to the frame; every word is HTML placed over it. So text keeps its size on a phone and in
print, and a line its width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.report.page.markup import Html, element

SPAN = 1000
"""Side of the square that shapes are drawn in, before stretching."""


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


def percent(place: float) -> str:
    """A place in [0, 1] as a CSS length."""
    return f"{100 * place:.2f}%"


def shapes(*drawn: Html, label: str, class_: str = "") -> Html:
    """An SVG of `SPAN` by `SPAN` units stretched over the frame; y grows downwards."""
    return element(
        "svg", *drawn, viewBox=f"0 0 {SPAN} {SPAN}", preserveAspectRatio="none", role="img", aria_label=label,
        class_=class_ or None,
    )  # fmt: skip


def path(points: Sequence[tuple[float, float]] | np.ndarray, *, class_: str, close: bool = False) -> Html:
    """A polygon through points in [0, 1], y upwards."""
    steps = [f"{SPAN * x:.0f} {SPAN * (1 - y):.0f}" for x, y in points]
    return element("path", d=f"M{'L'.join(steps)}{'Z' if close else ''}", class_=class_)


def dots(x: np.ndarray, y: np.ndarray, *, class_: str = "dots") -> Html:
    """Points in [0, 1] as one path of round dots, whose size doesn't stretch with the frame."""
    marks = "".join(f"M{SPAN * px:.0f} {SPAN * (1 - py):.0f}h0" for px, py in zip(x.tolist(), y.tolist(), strict=True))
    return element("path", d=marks, class_=class_)


def line(x0: float, y0: float, x1: float, y1: float, *, class_: str) -> Html:
    """A straight line between two places in [0, 1], y upwards."""
    return path([(x0, y0), (x1, y1)], class_=class_)


def grid_lines(x: Axis | None, y: Axis | None, *, n_x: int = 5, n_y: int = 3) -> list[Html]:
    """Hair lines at the ticks."""
    upright = [line(float(p), 0, float(p), 1, class_="hair") for p in x.place(np.array(x.ticks(n_x)))] if x else []
    level = [line(0, float(p), 1, float(p), class_="hair") for p in y.place(np.array(y.ticks(n_y)))] if y else []
    return upright + level


def bottom_labels(x: Axis, n: int) -> Html:
    """Tick labels below a frame."""
    ticks = x.ticks(n)
    places = x.place(np.array(ticks))
    marks = [element("span", tick_label(t), style=f"left:{percent(p)}") for t, p in zip(ticks, places, strict=True)]
    return element("div", marks, class_="ticks", aria_hidden="true")


def left_labels(y: Axis, n: int) -> Html:
    """Tick labels left of a frame."""
    ticks = y.ticks(n)
    places = y.place(np.array(ticks))
    marks = [element("span", tick_label(t), style=f"bottom:{percent(p)}") for t, p in zip(ticks, places, strict=True)]
    return element("div", marks, class_="yticks", aria_hidden="true")
