"""A cloud of points, as one path of round dots: a mark of its own for each would be four times as long."""

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.axis import Axis, tick_label
from raypipe.report.charts.figure import ACCENT, draw, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOT_PX = 4.0


def scatter_chart(
    x: np.ndarray, y: np.ndarray, x_axis: Axis, y_axis: Axis, *, x_name: str, y_name: str, label: str, width: int = 330
) -> Markup:
    """Points [n] on given scales; one beyond a scale sits on its edge."""

    def paint(axes: "Axes") -> None:
        """The dots in the frame's own coordinates, then its ticks."""
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        places = np.stack([x_axis.place(x), y_axis.place(y)], axis=1)
        codes = np.tile([Path.MOVETO, Path.LINETO], len(places)).astype(np.uint8)
        dots = Path(np.repeat(places, 2, axis=0), codes) if len(places) else Path(np.zeros((0, 2)))
        dots.should_simplify = False  # or dots, being lines of no length, are left out
        style = {"edgecolor": ACCENT, "facecolor": "none", "linewidth": DOT_PX, "alpha": 0.65, "capstyle": "round"}
        axes.add_patch(PathPatch(dots, transform=axes.transAxes, clip_on=False, **style))
        axes.set_xticks(*_ticks(x_axis, 5))
        axes.set_yticks(*_ticks(y_axis, 3))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel(words(x_name))
        axes.set_ylabel(words(y_name, max_chars=24))

    return draw(label, paint, width=width, left=56)


def _ticks(axis: Axis, n: int) -> tuple[list[float], list[str]]:
    ticks = axis.ticks(n)
    return axis.place(np.array(ticks)).tolist(), [tick_label(tick) for tick in ticks]
