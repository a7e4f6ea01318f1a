"""Counts in bins, of all and of a part, each as a share of its own sum: what the part has more of."""

from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.figure import ACCENT, LOUD, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def histogram_chart(
    edges: np.ndarray, counts: np.ndarray, part: np.ndarray | None, *, x_name: str, names: tuple[str, str], label: str
) -> Markup:
    """Shares by bin on a logarithmic scale, edges [b + 1] above 0: counts [b] filled, those of a part [b] as a line."""

    def paint(axes: "Axes") -> None:
        """The shares in percent of all, and of the part."""
        axes.stairs(100 * counts / max(counts.sum(), 1), edges, fill=True, color=ACCENT, alpha=0.35, label=names[0])
        if part is not None and part.sum():
            axes.stairs(100 * part / part.sum(), edges, color=LOUD, linewidth=1.75, label=names[1])
            axes.legend(loc="upper right")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:,.0f}")
        axes.xaxis.set_minor_formatter(lambda *_: "")  # on a short scale Matplotlib names these too, in TeX
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(bottom=0)
        axes.set_xlabel(x_name)
        axes.set_ylabel("% of documents")

    return draw(label, paint, width=350, height=180)
