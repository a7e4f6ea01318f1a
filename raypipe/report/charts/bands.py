"""Learning curves with bands: what several seeds came to, as their mean and the interval around it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.figure import SERIES, draw, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Band:
    """A curve with its interval: x, mean, low, high, each [s]; low and high NaN where there is no interval."""

    name: str
    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def band_of_seeds(name: str, x: np.ndarray, by_seed: np.ndarray, *, level: float = 0.95) -> Band:
    """The mean over seeds and Student's t interval of it, at each step: x [s], by_seed [seeds, s].

    A seed that wasn't measured at a step (NaN) is left out there; of fewer than two seeds there is no interval.
    """
    from scipy import stats

    n = np.isfinite(by_seed).sum(axis=0)
    total = np.nansum(by_seed, axis=0)
    mean = np.divide(total, n, out=np.full(len(x), np.nan), where=n > 0)
    squares = np.nansum((by_seed - mean) ** 2, axis=0)
    error = np.sqrt(np.divide(squares, (n - 1) * n, out=np.full(len(x), np.nan), where=n > 1))
    half = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1)) * error
    return Band(name, x, mean, mean - half, mean + half)


def band_chart(bands: Sequence[Band], *, x_name: str, y_name: str, label: str, width: int = 350) -> Markup:
    """Each curve with its band; names stand in the chart where there are several."""

    def paint(axes: "Axes") -> None:
        """A pale band under each line."""
        for at, band in enumerate(bands):
            colour, stroke = SERIES[at % len(SERIES)]
            axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(band.x, band.mean, color=colour, linestyle=stroke, label=words(band.name, max_chars=24))
        if len(bands) > 1:
            axes.legend(loc="best")
        axes.set_xlabel(words(x_name))
        axes.set_ylabel(words(y_name))

    return draw(label, paint, width=width, height=220)
