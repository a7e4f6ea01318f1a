"""ROC curves: of a score that tells two classes apart, how many of one are found for how many of the other.

Source: T. Fawcett, An Introduction to ROC Analysis, Pattern Recognition Letters 27, 2006, algorithms 1 and 2.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.curves import thinned
from raypipe.report.charts.figure import SERIES, SOFT, draw, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def roc_points(score: np.ndarray, is_positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rates of false and of true positives at every threshold, rising from (0, 0) to (1, 1): [n], [n] -> [p], [p].

    Equal scores are one step, so that their order can't matter.

    Raises
    ------
    ValueError
        If one of the classes has no row, or a score isn't a number.
    """
    n_positive = int(is_positive.sum())
    if not 0 < n_positive < len(score) or np.isnan(score).any():
        raise ValueError(f"a ROC curve needs scores of both classes, got {n_positive} positives of {len(score)} rows.")
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    true = np.cumsum(is_positive[order])[ends]
    false = ends + 1 - true
    return np.append(0, false / (len(score) - n_positive)), np.append(0, true / n_positive)


def area(false: np.ndarray, true: np.ndarray) -> float:
    """The area under a curve of rates (AUROC): .5 is chance."""
    return float(np.trapezoid(true, false))


def roc_chart(scores: Mapping[str, tuple[np.ndarray, np.ndarray]], *, label: str) -> Markup:
    """The curve of each score, by name (score [n], is_positive [n] bool), with its area; the diagonal is chance."""

    def paint(axes: "Axes") -> None:
        """Curves over the diagonal."""
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=":")
        for at, (name, (score, is_positive)) in enumerate(scores.items()):
            false, true = roc_points(score, is_positive)
            colour, stroke = SERIES[at % len(SERIES)]
            said = f"{words(name, max_chars=18)} {area(false, true):.3f}"
            axes.plot(*thinned(false, true), color=colour, linestyle=stroke, label=said)
        axes.legend(loc="lower right", title="area")
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")

    return draw(label, paint, width=330, height=320)
