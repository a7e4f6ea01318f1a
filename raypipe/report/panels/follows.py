"""The score against what it may merely rebuild: a chart for each domain and baseline, and tables of correlations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from raypipe.report.charts.axis import Axis, axis_of
from raypipe.report.charts.scatter import scatter_chart
from raypipe.report.numbers.checks import MAX_CORRELATION
from raypipe.report.numbers.measures import BASELINES, MAX_RANKED, MIN_ROWS, Correlation, scatter_sample
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page import cells
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign
from raypipe.report.page.table import Column, table
from raypipe.report.words import count, signed

N_POINTS = 2000
MAX_PANELS = 12
"""Domains that get charts; the table has more."""

UNITS = {"length": "scored tokens", "loss": "loss, nats a token", "zlib_ratio": "zlib ratio"}


@dataclass(frozen=True)
class _Row:
    """A row of a table of correlations: a domain, or all of them."""

    name: str
    n_rows: int
    found: list[float]
    judged_by: float
    """Rows behind it, to judge whether they are too few."""


def follows(numbers: Numbers) -> Panel:
    """Whether the score says more than length, loss and compressibility."""
    of = numbers.rows.scored_by.better_name
    tables = []
    if numbers.correlations:
        tables.append(correlation_table(numbers, numbers.correlations, f"Spearman rank correlation of {of}"))
    if numbers.rank_correlations:
        adjusted = "The same of the rank that selection used, after its adjustment"
        tables.append(correlation_table(numbers, numbers.rank_correlations, adjusted))
    drawn = (
        f"At most {count(N_POINTS)} documents are drawn, as many from each domain, by a fixed seed; a point beyond a "
        f"scale sits on its edge. ρ is of all documents, of a draw of {count(MAX_RANKED)} where there are more."
    )
    return panel(
        "baselines", "What it follows", "follows.html",
        tables=tables, n_columns=len(numbers.correlations), drawn=drawn, rows=_charts(numbers) if tables else [],
    )  # fmt: skip


def correlation_table(numbers: Numbers, correlations: tuple[Correlation, ...], caption: str) -> Markup:
    """Rank correlations by domain, their mean within domains, and over all domains together."""
    n = correlations[0].n_rows
    rows = [
        _Row(numbers.rows.domains[at], int(n[at]), [one.within[at] for one in correlations], float(n[at]))
        for at in numbers.shown
    ]
    totals = [
        _Row("mean within domains", int(n.sum()), [one.mean_within for one in correlations], np.inf),
        _Row("all domains together", int(n.sum()), [one.pooled for one in correlations], np.inf),
    ]
    columns = [
        Column[_Row]("domain", lambda row: foreign(row.name)),
        Column[_Row]("documents", lambda row: count(row.n_rows)),
        *(_correlation_column(at, one) for at, one in enumerate(correlations)),
    ]
    return table(caption, columns, rows, totals=totals)


def _correlation_column(at: int, one: Correlation) -> Column[_Row]:
    return Column(BASELINES[one.baseline], lambda row: cells.correlation(row.found[at], row.judged_by))


def _charts(numbers: Numbers, *, seed: int = 0) -> Sequence[tuple[str, list[dict[str, object]]]]:
    """Charts of sampled documents: domains down, baselines across; a column shares its x axis, a row its y axis."""
    rows, shown = numbers.rows, numbers.shown[:MAX_PANELS]
    samples = scatter_sample([numbers.groups[number] for number in shown], n_points=N_POINTS, seed=seed)
    x_axes = {c.baseline: axis_of(rows.kept[c.baseline], is_log=c.baseline == "length") for c in numbers.correlations}
    found = []
    for number, sample in zip(shown, samples, strict=True):
        y = axis_of(rows.kept["score"][numbers.groups[number]], tails=0.0)
        charts = [_chart(numbers, number, sample, one, x_axes[one.baseline], y) for one in numbers.correlations]
        found.append((rows.domains[number], charts))
    return found


def _chart(
    numbers: Numbers, number: int, sample: np.ndarray, one: Correlation, x_axis: Axis, y_axis: Axis
) -> dict[str, object]:
    kept, score = numbers.rows.kept[sample], numbers.rows.scored_by
    x, y = kept[one.baseline], kept["score"]
    known = np.isfinite(x) & np.isfinite(y)
    rho = score.sign * one.within[number]  # of what is drawn, where the table has that of the better end
    against = f"{score.name} against {BASELINES[one.baseline]} in {numbers.rows.domains[number]}"
    chart = scatter_chart(
        x[known], y[known], x_axis, y_axis, x_name=UNITS[one.baseline], y_name=score.name,
        label=f"{against}: {known.sum()} documents, rank correlation {signed(rho)}",
    )  # fmt: skip
    return {
        "chart": chart,
        "rho": signed(rho),
        "is_strong": abs(rho) > MAX_CORRELATION and one.n_rows[number] >= MIN_ROWS,
    }
