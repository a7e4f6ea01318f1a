"""The distribution of the score in each domain: a row of density, box and numbers for each."""

import numpy as np

from raypipe.contracts.score import Score
from raypipe.report.charts.axis import Axis, axis_of, bottom_labels, grid_lines, line, path, shapes
from raypipe.report.numbers.measures import QUANTILES, density, quantiles
from raypipe.report.numbers.run_numbers import Numbers
from raypipe.report.page.markup import Html, element, foreign
from raypipe.report.words import count, fraction, value

N_TICKS = 6


def distributions(numbers: Numbers) -> Html:
    """One row a domain, on one shared scale: density, 5 to 95 % line, quartile box, median, selection's threshold."""
    rows = numbers.rows
    score = rows.kept["score"]  # in its own sign: the axis says what it is
    axis = axis_of(score)
    shown = [number for number in numbers.shown if np.isfinite(score[numbers.groups[number]]).any()]
    table = quantiles(score, [numbers.groups[number] for number in shown])
    ridges = [
        _row(numbers, number, score[numbers.groups[number]], row, axis)
        for number, row in zip(shown, table, strict=True)
    ]
    foot = element(
        "div",
        element("span", class_="ridge-name"),
        element(
            "div",
            bottom_labels(axis, N_TICKS),
            element("p", foreign(axis_name(rows.scored_by), max_chars=160), class_="axis-name"),
        ),
        class_="ridge ridge-axis",
    )
    head = [element("span", name) for name in ("documents", "5 %", "median", "95 %")]
    header = element(
        "div",
        element("span", class_="ridge-name"),
        element("span"),
        element("div", head, class_="ridge-numbers"),
        class_="ridge ridge-head",
        aria_hidden="true",
    )
    return element("div", header, ridges, foot, _beyond(score, axis), class_="ridges")


def axis_name(score: Score) -> str:
    """What an axis of the score is called: its name, what it is, its unit."""
    said = [score.name] if score.label == score.name else [score.name, score.label]
    return ", ".join([*said, *([score.unit] if score.unit else [])])


def _row(numbers: Numbers, number: int, score: np.ndarray, spread: np.ndarray, axis: Axis) -> Html:
    rows = numbers.rows
    name, n = rows.domains[number], int(np.isfinite(score).sum())
    threshold = clean_threshold(numbers, number)
    label = f"{name}: {n} documents, median {value(spread[2])}, 5 to 95 % {value(spread[0])} to {value(spread[4])}"
    drawing = shapes(
        *grid_lines(axis, None, n_x=N_TICKS), *_ridge(score, spread, axis), *_mark(threshold, axis), label=label
    )
    cells = [count(n), *(value(spread[QUANTILES.index(q)]) for q in (0.05, 0.5, 0.95))]
    titles = ("documents", "5 %", "median", "95 %")
    shown = [element("span", cell, data_name=title) for cell, title in zip(cells, titles, strict=True)]
    return element(
        "div",
        element("div", foreign(name), class_="ridge-name"),
        element("div", drawing, class_="ridge-plot"),
        element("div", shown, class_="ridge-numbers"),
        class_="ridge",
    )


def _ridge(score: np.ndarray, spread: np.ndarray, axis: Axis) -> list[Html]:
    heights = 0.3 + 0.66 * density(score, low=axis.low, high=axis.high)
    x = (np.arange(len(heights)) + 0.5) / len(heights)
    outline = [(0.0, 0.3), *zip(x.tolist(), heights.tolist(), strict=True), (1.0, 0.3)]
    p5, p25, p50, p75, p95 = axis.place(spread).tolist()
    box = path([(p25, 0.08), (p75, 0.08), (p75, 0.24), (p25, 0.24)], class_="box", close=True)
    return [
        path(outline, class_="area", close=True),
        line(p5, 0.16, p95, 0.16, class_="whisker"),
        box,
        line(p50, 0.03, p50, 0.29, class_="median"),
    ]


def _mark(threshold: float | None, axis: Axis) -> list[Html]:
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
    if passed > lowest:
        return None
    return float(rows.scored_by.sign * lowest)


def _beyond(score: np.ndarray, axis: Axis) -> Html:
    finite = score[np.isfinite(score)]
    outside = int((finite < axis.low).sum() + (finite > axis.high).sum())
    share = f"{count(outside)} documents ({fraction(outside / max(len(finite), 1))}) lie beyond the ends of the scale. "
    return element("p", share if outside else "", "Each density has its own height.", class_="caption")
