"""A chart drawn by Matplotlib as static SVG in the look of the page.

Colours are the page's CSS variables, so that a chart follows the light, the dark and the printed page; text is text, in
the page's font, measured with the font that Matplotlib brings, so that the same numbers give the same bytes on every
machine. A chart keeps its size in pixels: on a phone its words stay as large as they are.

Matplotlib draws without a browser engine, which Altair with vl-convert brings along.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from raypipe.report.charts.axis import tick_label
from raypipe.report.escape import shorten, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that Matplotlib writes and the page knows by name.
INK, SOFT, RULE, ACCENT, LOUD, GROUND = "#a00001", "#a00002", "#a00003", "#a00004", "#a00005", "#a00006"
VARIABLES = {INK: "ink", SOFT: "soft", RULE: "rule", ACCENT: "accent", LOUD: "loud", GROUND: "ground"}
SERIES = ((ACCENT, "-"), (LOUD, "-"), (INK, "--"), (SOFT, "-."), (ACCENT, ":"), (LOUD, ":"))
"""Colour and stroke of the first, the second ... line of a chart: told apart without colour too."""

FONT_PX = 11.5
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 8.0, 36.0
"""Margins in pixels, for tick labels and names of axes."""

STYLE: dict[str, Any] = {
    "figure.dpi": 72, "svg.fonttype": "none", "font.family": "DejaVu Sans", "font.size": FONT_PX,
    "text.parse_math": False, "text.color": INK, "axes.facecolor": "none", "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT, "axes.labelsize": FONT_PX, "axes.labelpad": 3, "axes.linewidth": 1,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": RULE, "grid.linewidth": 1, "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelsize": FONT_PX,
    "ytick.labelsize": FONT_PX, "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0,
    "ytick.minor.size": 0, "lines.linewidth": 1.75, "lines.solid_capstyle": "round", "legend.frameon": False,
    "legend.fontsize": FONT_PX, "legend.labelcolor": INK, "path.simplify_threshold": 0.05,
}  # fmt: skip


def draw(
    label: str, paint: Callable[["Axes"], object], *, width: int = 250, height: int = 150, left: float = LEFT
) -> Markup:
    """The SVG of a chart of that size in pixels, whose axes `paint` fills; `label` says what it shows to who can't see.

    `left` is the room in pixels for what stands left of the axes.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE | {"svg.hashsalt": label}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # it is measured only: the page has fonts
        figure = Figure(figsize=(width / 72, height / 72))
        box = (left / width, BOTTOM / height, (width - left - RIGHT) / width, (height - BOTTOM - TOP) / height)
        axes = figure.add_axes(box)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda tick, _: tick_label(float(f"{tick:.6g}")))
        paint(axes)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return Markup(_of_the_page(buffer.getvalue(), label, width, height))


def words(text: str, *, max_chars: int = 40) -> str:
    """Foreign text for a chart: unseen characters seen, no line break, no longer than that."""
    return shorten(visible(text), max_chars)


def _of_the_page(svg: str, label: str, width: int, height: int) -> str:
    """Matplotlib's file as an element of the page: no style sheet, no unused names, our colours and font."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href").replace("\n", " ")
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', body))
    body = re.sub(r"<[^>]+>", lambda tag: _tag(tag[0], used), body)
    body = re.sub(r">\s+<", "><", body)
    head = f'<svg class="chart" role="img" aria-label="{escape(visible(label))}"'
    return f'{head} viewBox="0 0 {width} {height}" width="{width}" height="{height}">{body.strip()}'


def _tag(tag: str, used: set[str]) -> str:
    """A tag without what the page says already or nobody asks for; words between tags stay as they are."""
    tag = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"|font-family: [^;"]*; ', "", tag)
    tag = re.sub(r" {2,}", " ", re.sub(r"(\d\.\d\d)\d+", r"\1", tag))
    for colour, name in VARIABLES.items():
        tag = tag.replace(colour, f"var(--{name})")
    return tag
