"""A reliability diagram: whether what is said with 80 % is right in 80 % of cases.

Source: C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2 (diagram, eq. 3: expected
calibration error).
Departures: bins hold equal numbers of rows, not equal widths, so that none is nearly empty; each has Wilson's interval.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from raypipe.arrays.intervals import wilson_interval
from raypipe.report.charts.figure import ACCENT, SOFT, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of rising confidence, each [b]."""

    confidence: np.ndarray
    """Mean of the bin."""
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    """Ends of the accuracy's 95 % interval."""
    n: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap of confidence and accuracy, by rows."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.n))


def reliability(confidence: np.ndarray, is_right: np.ndarray, *, n_bins: int = 10) -> Reliability:
    """Confidences [n] in [0, 1] against what was right [n] bool; equal confidences share a bin.

    Raises
    ------
    ValueError
        If there is no row, or a confidence isn't in [0, 1].
    """
    if not len(confidence) or not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(f"confidences must be in [0, 1], at least one, got {len(confidence)} of {confidence!r}.")
    order = np.argsort(confidence, kind="stable")
    cuts = np.searchsorted(confidence[order], confidence[order][len(order) * np.arange(1, n_bins) // n_bins])
    bins = [part for part in np.split(order, np.unique(cuts)) if len(part)]
    accuracy = np.array([is_right[part].mean() for part in bins])
    n = np.array([len(part) for part in bins])
    ends = np.array([wilson_interval(float(share), int(size)) for share, size in zip(accuracy, n, strict=True)])
    return Reliability(np.array([confidence[part].mean() for part in bins]), accuracy, ends[:, 0], ends[:, 1], n)


def calibration_chart(found: Reliability, *, label: str) -> Markup:
    """Accuracy by confidence with intervals; on the diagonal it is calibrated, below it is too sure."""

    def paint(axes: "Axes") -> None:
        """Points with their intervals over the diagonal."""
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=":")
        spread = [found.accuracy - found.low, found.high - found.accuracy]
        axes.errorbar(found.confidence, found.accuracy, yerr=spread, color=ACCENT, fmt="o-", markersize=5, capsize=0)
        axes.text(0.03, 0.93, f"calibration error {found.error:.3f}", transform=axes.transAxes)
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")

    return draw(label, paint, width=330, height=320)
