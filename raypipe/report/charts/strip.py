"""Strips: wordless shapes that stretch to the row of a table or a list that they stand in.

Shapes are SVG stretched to the frame; every word is HTML placed beside it. So text keeps its size on a phone and in
print, and a line its width. What has axes of its own is a chart (figure.py).
"""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.axis import Axis, tick_label
from raypipe.report.escape import visible

SPAN = 1000
"""Side of the square that shapes are drawn in, before stretching."""


def percent(place: float) -> str:
    """A place in [0, 1] as a CSS length."""
    return f"{100 * place:.2f}%"


def strip(*drawn: Markup, label: str) -> Markup:
    """An SVG of `SPAN` by `SPAN` units stretched over the frame; y grows downwards."""
    return Markup('<svg viewBox="0 0 {0} {0}" preserveAspectRatio="none" role="img" aria-label="{1}">{2}</svg>').format(
        SPAN, visible(label), Markup("").join(drawn)
    )


def path(points: Sequence[tuple[float, float]] | np.ndarray, *, class_: str, close: bool = False) -> Markup:
    """A polygon through points in [0, 1], y upwards."""
    steps = "L".join(f"{SPAN * x:.0f} {SPAN * (1 - y):.0f}" for x, y in points)
    return Markup('<path d="M{}{}" class="{}"/>').format(steps, "Z" if close else "", class_)


def dot(x: float, y: float, *, class_: str) -> Markup:
    """A round dot in [0, 1], whose size doesn't stretch with the frame."""
    return Markup('<path d="M{:.0f} {:.0f}h0" class="{}"/>').format(SPAN * x, SPAN * (1 - y), class_)


def line(x0: float, y0: float, x1: float, y1: float, *, class_: str) -> Markup:
    """A straight line between two places in [0, 1], y upwards."""
    return path([(x0, y0), (x1, y1)], class_=class_)


def upright_lines(x: Axis, n: int) -> list[Markup]:
    """Hair lines at the ticks."""
    return [line(float(place), 0, float(place), 1, class_="hair") for place in x.place(np.array(x.ticks(n)))]


def bottom_labels(x: Axis, n: int) -> Markup:
    """Tick labels below a strip."""
    ticks = x.ticks(n)
    places = x.place(np.array(ticks))
    mark = Markup('<span style="left:{}">{}</span>')
    marks = [mark.format(percent(p), tick_label(t)) for t, p in zip(ticks, places, strict=True)]
    return Markup('<div class="ticks" aria-hidden="true">{}</div>').format(Markup("").join(marks))
