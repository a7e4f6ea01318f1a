"""Curves by step: thinned so that no spike is lost, smoothed so that noise can be read, framed as a panel."""

import numpy as np

from raypipe.report.charts.axis import Axis, bottom_labels, dots, grid_lines, left_labels, path, shapes
from raypipe.report.page.markup import Html, element

MAX_POINTS = 400
"""Points drawn of one curve."""
MAX_MEANS = 60
"""Stretches that a noisy curve is averaged over."""
MIN_STRETCH = 4
"""Steps of a stretch at least."""
MAX_DOTS = 24
"""Measurements that get a dot each; of more, the last one does."""


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


def smooth(x_axis: Axis, y_axis: Axis, x: np.ndarray, y: np.ndarray, *, class_: str = "curve") -> list[Html]:
    """A curve that jumps seldom, as one line."""
    x, y = thinned(x, y)
    return [path(np.stack([x_axis.place(x), y_axis.place(y)], axis=1), class_=class_)] if len(x) else []


def noisy(x_axis: Axis, y_axis: Axis, x: np.ndarray, y: np.ndarray) -> list[Html]:
    """Each step pale and the mean of neighbours over it; one plain line where there are few steps."""
    middle, mean = means(x, y)
    if not len(middle):
        return smooth(x_axis, y_axis, x, y)
    pale = smooth(x_axis, y_axis, x, y, class_="curve pale")
    return pale + smooth(x_axis, y_axis, middle, mean)


def measured(
    x_axis: Axis, y_axis: Axis, x: np.ndarray, y: np.ndarray, *, class_: str, n_dots: int = MAX_DOTS
) -> list[Html]:
    """A curve of few measurements: a line, a dot at each of at most `n_dots`, else at the last."""
    x, y = thinned(x, y)
    if not len(x):
        return []
    first = 0 if len(x) <= n_dots else len(x) - 1
    marks = dots(x_axis.place(x[first:]), y_axis.place(y[first:]), class_=f"dots {class_}")
    return [*smooth(x_axis, y_axis, x, y, class_=f"curve {class_}"), marks]


def panel(x: Axis, y: Axis, drawn: list[Html], *, name: str, figure: str = "") -> Html:
    """A frame with its scales; `name` tells what is drawn by step, `figure` stands at the right."""
    drawing = shapes(*grid_lines(x, y, n_x=4, n_y=5), *drawn, label=f"{name} by step")
    return element(
        "figure",
        element("div", left_labels(y, 5), drawing, class_="panel"),
        bottom_labels(x, 4),
        element("figcaption", element("span", name, class_="up"), element("span", figure)),
    )
