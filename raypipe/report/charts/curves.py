"""Curves by step: thinned so that no spike is lost, smoothed so that noise can be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.axis import Axis, tick_label
from raypipe.report.charts.figure import ACCENT, LOUD, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 400
"""Points drawn of one curve."""
MAX_MEANS = 60
"""Stretches that a noisy curve is averaged over."""
MIN_STRETCH = 4
"""Steps of a stretch at least."""
MAX_DOTS = 24
"""Measurements that get a dot each; of more, the last one does."""

Draw = Callable[["Axes"], None]


def thinned(x: np.ndarray, y: np.ndarray, *, most: int = MAX_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most that many finite points of a curve [s], in order: the lowest and the highest of each stretch."""
    x, y = _finite(x, y)
    if len(x) <= most:
        return x, y
    stretches = np.array_split(np.arange(len(x)), most // 2)
    chosen = [i for part in stretches for i in sorted({int(part[y[part].argmin()]), int(part[y[part].argmax()])})]
    return x[chosen], y[chosen]


def means(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The curve [s] averaged over stretches of equal length; empty where it is too short to need it."""
    x, y = _finite(x, y)
    n = min(MAX_MEANS, len(x) // MIN_STRETCH)
    parts = np.array_split(np.arange(len(x)), n) if n > 2 else []
    return np.array([x[part].mean() for part in parts]), np.array([y[part].mean() for part in parts])


def _finite(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(y)
    return x[known], y[known]


@dataclass(frozen=True)
class Curve:
    """A quantity by step: x [s], y [s]; NaN where it wasn't measured."""

    x: np.ndarray
    y: np.ndarray

    def smooth(self, axes: "Axes") -> None:
        """Drawn as one line: it jumps seldom."""
        axes.plot(*thinned(self.x, self.y), color=ACCENT)

    def noisy(self, axes: "Axes") -> None:
        """Drawn pale, with the mean of neighbours over it; as one line where there are few steps."""
        middle, mean = means(self.x, self.y)
        if len(middle):
            axes.plot(*thinned(self.x, self.y), color=ACCENT, alpha=0.4, linewidth=1)
            axes.plot(middle, mean, color=ACCENT)
        else:
            self.smooth(axes)

    def measured(self, axes: "Axes") -> None:
        """Drawn as a line of few measurements with a dot at each, or at the last of many."""
        x, y = thinned(self.x, self.y)
        first = 0 if len(x) <= MAX_DOTS else len(x) - 1
        axes.plot(x, y, color=LOUD)
        axes.plot(x[first:], y[first:], color=LOUD, linestyle="none", marker="o", markersize=4, markeredgewidth=0)


def curve_chart(
    x: Axis, y: Axis, drawn: Sequence[Draw], *, name: str, by: str = "step", width: int = 250, height: int = 150
) -> Markup:
    """Curves over one another on given scales."""

    def paint(axes: "Axes") -> None:
        """The curves, then the scales, which they would stretch."""
        for one in drawn:
            one(axes)
        if y.is_log:
            axes.set_yscale("log")
            axes.set_yticks(y.ticks(5), minor=False)
            axes.set_yticks([], minor=True)
        else:
            axes.set_yticks(y.ticks(5))
        axes.set_xticks(x.ticks(4))
        axes.set_xlim(x.low, x.high)
        axes.set_ylim(y.low, y.high)
        axes.set_xlabel(by)
        _own_ticks(axes)

    return draw(f"{name} by {by}", paint, width=width, height=height)


def _own_ticks(axes: "Axes") -> None:
    """A logarithmic scale brings its own words for ticks; ours are the same everywhere."""
    axes.yaxis.set_major_formatter(lambda tick, _: tick_label(float(f"{tick:.6g}")))
