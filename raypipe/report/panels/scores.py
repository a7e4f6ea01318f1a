"""The distribution of the score in each domain: a row of density, box and numbers for each."""

import numpy as np
from markupsafe import Markup

from raypipe.contracts.score import Score
from raypipe.report.charts.axis import Axis, axis_of
from raypipe.report.charts.strip import bottom_labels, line, path, strip, upright_lines
from raypipe.report.numbers.measures import QUANTILES, density, quantiles
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.panel import Panel, panel
from raypipe.report.page.render import foreign, joined
from raypipe.report.words import count, fraction, value

N_TICKS = 6
KEY = (("key-box", "middle half, line from 5 to 95 %"), ("key-median", "median"))
KEY_SELECTED = (("key-threshold", "selected from here on (where selection was a plain cut)"),)


def scores(numbers: Numbers) -> Panel:
    """One row a domain, on one shared scale: density, 5 to 95 % line, quartile box, median, selection's threshold."""
    rows = numbers.rows
    if rows.is_empty:
        return panel("score", "By domain", "scores.html", title="Score by domain", is_empty=True)
    by, score = rows.scored_by, rows.kept["score"]  # in its own sign: the axis says what it is
    axis = axis_of(score)
    shown = [number for number in numbers.shown if np.isfinite(score[numbers.groups[number]]).any()]
    spreads = quantiles(score, [numbers.groups[number] for number in shown])
    said = (
        f"Documents are ordered by {axis_name(by)}; the {'highest' if by.higher_is_better else 'lowest'} is the best. "
        "Domains differ in level, so documents are ranked inside their domain only."
    )
    return panel(
        "score", "By domain", "scores.html",
        is_empty=False, said=said, axis_name=axis_name(by),
        title=joined(foreign(by.name[:1].upper() + by.name[1:]), " by domain"),
        key=KEY + (KEY_SELECTED if rows.arms else ()),
        ridges=[_ridge(numbers, number, spread, axis) for number, spread in zip(shown, spreads, strict=True)],
        ticks=bottom_labels(axis, N_TICKS), beyond=_beyond(score, axis),
        n_more=len(rows.domains) - len(numbers.shown), sampled=_sampled(numbers),
    )  # fmt: skip


def axis_name(score: Score) -> str:
    """What an axis of the score is called: its name, what it is, its unit."""
    said = [score.name] if score.label == score.name else [score.name, score.label]
    return ", ".join([*said, *([score.unit] if score.unit else [])])


def _ridge(numbers: Numbers, number: int, spread: np.ndarray, axis: Axis) -> dict[str, object]:
    score = numbers.rows.kept["score"][numbers.groups[number]]
    name, n = numbers.rows.domains[number], int(np.isfinite(score).sum())
    label = f"{name}: {n} documents, median {value(spread[2])}, 5 to 95 % {value(spread[0])} to {value(spread[4])}"
    marks = _mark(clean_threshold(numbers, number), axis)
    figures = [("documents", count(n))]
    figures += [
        (title, value(spread[QUANTILES.index(q)])) for title, q in (("5 %", 0.05), ("median", 0.5), ("95 %", 0.95))
    ]
    drawing = strip(*upright_lines(axis, N_TICKS), *_shapes(score, spread, axis), *marks, label=label)
    return {"name": name, "drawing": drawing, "numbers": figures}


def _shapes(score: np.ndarray, spread: np.ndarray, axis: Axis) -> list[Markup]:
    heights = 0.3 + 0.66 * density(score, low=axis.low, high=axis.high)
    x = (np.arange(len(heights)) + 0.5) / len(heights)
    outline = [(0.0, 0.3), *zip(x.tolist(), heights.tolist(), strict=True), (1.0, 0.3)]
    p5, p25, p50, p75, p95 = axis.place(spread).tolist()
    return [
        path(outline, class_="area", close=True),
        line(p5, 0.16, p95, 0.16, class_="whisker"),
        path([(p25, 0.08), (p75, 0.08), (p75, 0.24), (p25, 0.24)], class_="box", close=True),
        line(p50, 0.03, p50, 0.29, class_="median"),
    ]


def _mark(threshold: float | None, axis: Axis) -> list[Markup]:
    if threshold is None:
        return []
    place = float(axis.place(np.array([threshold]))[0])
    return [line(place, 0, place, 1, class_="threshold")]


def clean_threshold(numbers: Numbers, number: int) -> float | None:
    """The score from which on a domain's documents were selected; None where selection wasn't a cut of the score."""
    rows = numbers.rows
    if number >= len(rows.lowest_selected) or not np.isfinite(rows.lowest_selected[number]):
        return None
    lowest, passed = rows.lowest_selected[number], rows.highest_passed_over[number]
    return None if passed > lowest else float(rows.scored_by.sign * lowest)


def _beyond(score: np.ndarray, axis: Axis) -> str:
    finite = score[np.isfinite(score)]
    outside = int((finite < axis.low).sum() + (finite > axis.high).sum())
    share = f"{count(outside)} documents ({fraction(outside / max(len(finite), 1))}) lie beyond the ends of the scale. "
    return f"{share if outside else ''}Each density has its own height."


def _sampled(numbers: Numbers) -> str:
    if numbers.rows.kept_fraction >= 1:
        return ""
    share = fraction(numbers.rows.kept_fraction)
    return (
        f"Quantiles, correlations and extremes are those of {share} of the rows, chosen by a hash of the text; "
        "counts are exact."
    )
