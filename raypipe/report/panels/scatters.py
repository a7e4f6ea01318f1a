"""The score against what it may merely rebuild: a panel for each domain and baseline, and the table of correlations."""

import numpy as np

from raypipe.contracts.score import Score
from raypipe.report.charts.axis import Axis, axis_of, bottom_labels, dots, grid_lines, left_labels, shapes
from raypipe.report.numbers.checks import MAX_CORRELATION
from raypipe.report.numbers.measures import BASELINES, MIN_ROWS, Correlation, scatter_sample
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.markup import Html, element, foreign, table
from raypipe.report.words import count, signed

N_POINTS = 2000
MAX_PANELS = 12
"""Domains that get panels; the table has more."""

UNITS = {"length": "scored tokens", "loss": "loss, nats a token", "zlib_ratio": "zlib ratio"}


def correlation_table(numbers: Numbers, correlations: tuple[Correlation, ...], caption: str) -> Html:
    """Rank correlations by domain, their mean within domains, and over all domains together."""
    headers = ["domain", "documents", *(BASELINES[correlation.baseline] for correlation in correlations)]
    by_domain = [
        [foreign(numbers.rows.domains[number]), count(correlations[0].n_rows[number])]
        + [shaded(correlation.within[number], correlation.n_rows[number]) for correlation in correlations]
        for number in numbers.shown
    ]
    n_rows = count(correlations[0].n_rows.sum())
    mean = ["mean within domains", n_rows, *(shaded(correlation.mean_within) for correlation in correlations)]
    pooled = ["all domains together", n_rows, *(shaded(correlation.pooled) for correlation in correlations)]
    emphasised = [[element("strong", cell) for cell in row] for row in (mean, pooled)]
    return table(headers, [*by_domain, *emphasised], caption=caption)


def shaded(correlation: float, n_rows: float = np.inf) -> Html:
    """A correlation on a ground as dark as it is strong; pale where the rows are too few to tell."""
    if not np.isfinite(correlation):
        return element("span", "–", class_="faint")
    if n_rows < MIN_ROWS:
        return element("span", signed(correlation), class_="faint", title=f"only {n_rows:.0f} documents")
    strong = abs(correlation) > MAX_CORRELATION
    style = f"--strength:{min(abs(correlation), 1):.2f}"
    return element(
        "span", signed(correlation), " ▲" if strong else "", class_="heat strong" if strong else "heat", style=style
    )


def scatter_panels(numbers: Numbers, *, seed: int = 0) -> Html:
    """Panels of sampled documents: domains down, baselines across; a column shares its x axis, a row its y axis."""
    rows = numbers.rows
    shown = numbers.shown[:MAX_PANELS]
    samples = scatter_sample([numbers.groups[number] for number in shown], n_points=N_POINTS, seed=seed)
    x_axes = {c.baseline: axis_of(rows.kept[c.baseline], is_log=c.baseline == "length") for c in numbers.correlations}
    panels: list[Html] = []
    for number, sample in zip(shown, samples, strict=True):
        y_axis = axis_of(rows.kept["score"][numbers.groups[number]], tails=0.0)
        panels.append(element("h4", foreign(rows.domains[number]), class_="panel-row"))
        for correlation in numbers.correlations:
            x, y = rows.kept[correlation.baseline][sample], rows.kept["score"][sample]
            drawn = _panel(x, y, x_axes[correlation.baseline], y_axis, correlation, number, rows.scored_by)
            panels.append(drawn)
    return element("div", panels, class_="panels", style=f"--columns:{len(numbers.correlations)}")


def _panel(
    x: np.ndarray, y: np.ndarray, x_axis: Axis, y_axis: Axis, correlation: Correlation, number: int, score: Score
) -> Html:
    known = np.isfinite(x) & np.isfinite(y)
    rho = correlation.within[number]
    against = f"{score.name} against {BASELINES[correlation.baseline]}"
    label = f"{against}: {known.sum()} documents, rank correlation {signed(score.sign * rho)}"
    drawing = shapes(*grid_lines(x_axis, y_axis), dots(x_axis.place(x[known]), y_axis.place(y[known])), label=label)
    shown = score.sign * rho  # of what is drawn, where the table has that of the better end
    strong = abs(rho) > MAX_CORRELATION and correlation.n_rows[number] >= MIN_ROWS
    rho_text = element("span", f"ρ {signed(shown)}", class_="rho strong" if strong else "rho")
    axes = element("span", element("span", foreign(score.name), class_="up"), " by ", UNITS[correlation.baseline])
    return element(
        "figure",
        element("div", left_labels(y_axis, 3), drawing, class_="panel"),
        bottom_labels(x_axis, 5),
        element("figcaption", axes, rho_text),
    )
