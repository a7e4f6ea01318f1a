"""A forest plot: effects with their intervals, one a line, against no effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from raypipe.report.charts.figure import ACCENT, BOTTOM, INK, LOUD, SOFT, TOP, draw, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_PX = 24
NAME_PX = 128.0


@dataclass(frozen=True)
class ForestRow:
    """What a comparison came to."""

    name: str
    mean: float
    low: float
    high: float
    is_summary: bool = False
    """A mean over the others: drawn as a diamond."""

    def is_shown(self, null: float) -> bool:
        """Whether the interval leaves no effect out."""
        return self.low > null or self.high < null


def forest_chart(
    effects: Sequence[ForestRow], *, x_name: str, label: str, null: float = 0.0, width: int = 350
) -> Markup:
    """One row an effect, in the order given, from top to bottom.

    An interval that reaches no effect (`null`) is pale: nothing is shown there, whatever the point says.
    """

    def paint(axes: "Axes") -> None:
        """Intervals, points, and the line of no effect."""
        axes.axvline(null, color=SOFT, linewidth=1, linestyle="--")
        for row, effect in enumerate(effects):
            colour = (LOUD if effect.mean < null else ACCENT) if effect.is_shown(null) else SOFT
            axes.plot([effect.low, effect.high], [row, row], color=colour, linewidth=2)
            mark, size = ("D", 8) if effect.is_summary else ("o", 6)
            axes.plot([effect.mean], [row], color=colour, marker=mark, markersize=size, linestyle="none")
        axes.set_yticks(range(len(effects)), [words(effect.name, max_chars=18) for effect in effects], color=INK)
        axes.set_ylim(len(effects) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(words(x_name, max_chars=60))

    height = int(ROW_PX * max(len(effects), 1) + BOTTOM + TOP)
    return draw(label, paint, width=width, height=height, left=NAME_PX)
