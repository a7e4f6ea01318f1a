"""Charts of experiments: numbers against closed forms, pictures against their numbers, foreign text as text."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy import stats

from raypipe.report.charts.bands import Band, band_chart, band_of_seeds
from raypipe.report.charts.calibration import calibration_chart, reliability
from raypipe.report.charts.figure import ACCENT, BOTTOM, LEFT, RIGHT, TOP, VARIABLES, draw
from raypipe.report.charts.forest import NAME_PX, ForestRow, forest_chart
from raypipe.report.charts.histogram import histogram_chart
from raypipe.report.charts.roc import area, roc_chart, roc_points
from tests.report.synthetic import HOSTILE

ELEMENTS = {"svg", "g", "path", "text", "use", "defs", "clipPath", "rect"}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def binary(rng, n=400):
    is_positive = rng.random(n) < 0.4
    return rng.normal(size=n).round(1) + is_positive, is_positive


def charts(names) -> dict[str, str]:
    """One of each kind, with these names in it."""
    rng, x = np.random.default_rng(0), np.arange(5.0)
    score, is_positive = binary(rng)
    bands = [Band(name, x, x, x - 1, x + 1) for name in names]
    return {
        "bands": band_chart(bands, x_name="step", y_name=names[0], label=names[0]),
        "forest": forest_chart([ForestRow(name, 0.1, -0.1, 0.3) for name in names], x_name=names[0], label=names[0]),
        "roc": roc_chart(dict.fromkeys(names, (score, is_positive)), label=names[0]),
        "calibration": calibration_chart(reliability(rng.random(200), rng.random(200) < 0.5), label=names[0]),
        "histogram": histogram_chart(np.array([1.0, 10, 100]), np.array([1, 2]), np.array([1, 0]), x_name="tokens",
                                     names=("all", "selected"), label=names[0]),
    }  # fmt: skip


def lines(svg: str, variable: str) -> list[np.ndarray]:
    """The points of each line drawn in a colour of the page."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke: var\(--(\w+)\)', svg)
    return [np.array(re.findall(r"[ML] ([\d.-]+) ([\d.-]+)", d), float) for d, name in paths if name == variable]


def test_a_chart_is_an_element_of_the_page_and_the_same_every_time():
    for name, svg in charts(["one", "two"]).items():
        root = ET.fromstring(svg)
        assert (root.tag, root.get("role"), root.get("aria-label")) == ("svg", "img", "one"), name
        assert not re.search(r"<style|<script|DejaVu|#a0000|xlink|<metadata|https?:", svg), name
        assert set(re.findall(r"var\(--(\w+)\)", svg)) <= set(VARIABLES.values())
        assert svg == charts(["one", "two"])[name]


@pytest.mark.parametrize("text", [*HOSTILE, "cost in $ and $x_1$", 'id="x" #a00001 font: 3px'])
def test_foreign_text_stays_text_in_every_chart(text):
    for svg in charts([text, "plain"]).values():
        root = ET.fromstring(svg)
        assert {element.tag for element in root.iter()} <= ELEMENTS
        assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
        assert not {"\x1b", "\u202e", "\x00"} & set(svg)
    shown = "".join(ET.fromstring(charts([text])["forest"]).itertext())
    assert text[:5].replace("\x1b", "␛").replace("\u202e", "[U+202E]").replace("\u0301", "\u25cc\u0301")[:3] in shown


def test_a_line_lies_where_its_numbers_say():
    svg = draw("line", lambda axes: (axes.plot([0, 1], [0, 1], color=ACCENT), axes.set(xlim=(0, 1), ylim=(0, 2))),
               width=250, height=150)  # fmt: skip
    (points,) = lines(svg, "accent")
    height = 150 - TOP - BOTTOM
    assert points == pytest.approx(np.array([[LEFT, 150 - BOTTOM], [250 - RIGHT, 150 - BOTTOM - height / 2]]), abs=0.02)


def test_the_area_under_a_roc_curve_is_the_chance_that_a_positive_scores_higher(rng):
    score, is_positive = binary(rng)
    wins = score[is_positive][:, None] - score[~is_positive]
    assert area(*roc_points(score, is_positive)) == pytest.approx(((wins > 0) + 0.5 * (wins == 0)).mean())


@pytest.mark.parametrize(("score", "expected"), [([3, 2, 1, 0], 1.0), ([0, 1, 2, 3], 0.0), ([1, 1, 1, 1], 0.5)])
def test_a_roc_curve_runs_from_corner_to_corner(score, expected):
    false, true = roc_points(np.array(score, float), np.array([True, True, False, False]))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert area(false, true) == expected


def test_the_roc_chart_names_each_area(rng):
    score, is_positive = binary(rng)
    svg = roc_chart({"ours": (score, is_positive), "reversed": (-score, is_positive)}, label="ROC")
    ours = area(*roc_points(score, is_positive))
    assert f">ours {ours:.3f}<" in svg
    assert f">reversed {1 - ours:.3f}<" in svg
    assert len(lines(svg, "accent")[0]) > 30


def test_reliability_equals_a_slow_loop(rng):
    confidence = rng.random(1000)
    is_right = rng.random(1000) < confidence**2
    found = reliability(confidence, is_right, n_bins=5)
    order = np.argsort(confidence)
    for at, part in enumerate(np.split(order, 5)):
        assert found.confidence[at] == pytest.approx(confidence[part].mean())
        assert found.accuracy[at] == is_right[part].mean()
        ends = stats.binomtest(int(is_right[part].sum()), 200).proportion_ci(method="wilson")
        assert (found.low[at], found.high[at]) == pytest.approx((ends.low, ends.high))
    assert found.error == pytest.approx(np.mean(np.abs(found.confidence - found.accuracy)))
    assert 0.1 < found.error < 0.25  # the mean of p - p^2 is 1/6


def test_equal_confidences_share_a_bin_and_what_is_calibrated_has_no_error():
    found = reliability(np.repeat([0.5, 1.0], 50), np.r_[np.tile([True, False], 25), np.ones(50, bool)])
    assert found.n.tolist() == [50, 50]
    assert found.error == 0


def test_a_forest_plot_puts_each_effect_on_its_line_and_pales_what_is_not_shown():
    effects = [ForestRow("a", 0.2, 0.1, 0.3), ForestRow("b", -0.2, -0.3, -0.1), ForestRow("c", 0.1, -0.1, 0.3)]
    svg = forest_chart([*effects, ForestRow("all", 0.1, 0.05, 0.15, is_summary=True)], x_name="effect", label="forest")
    above, below, (null, *unclear) = (lines(svg, name) for name in ("accent", "loud", "soft"))
    rows = [interval[0, 1] for interval in (above[0], below[0], unclear[0], above[1])]
    assert np.diff(rows) == pytest.approx([24, 24, 24], abs=0.1)
    scale = (above[0][1, 0] - above[0][0, 0]) / 0.2
    assert below[0][:, 0] == pytest.approx(null[:, 0] + scale * np.array([-0.3, -0.1]), abs=0.1)
    assert null[0, 0] > NAME_PX
    assert re.findall(r">(a|b|c|all)<", svg) == ["a", "b", "c", "all"]


def test_a_band_is_students_interval_over_seeds(rng):
    by_seed = rng.normal(size=(4, 3))
    by_seed[1, 1] = np.nan
    by_seed[1:, 2] = np.nan
    band = band_of_seeds("ours", np.arange(3.0), by_seed)
    for step in (0, 1):
        seeds = by_seed[:, step][np.isfinite(by_seed[:, step])]
        low, high = stats.t.interval(0.95, len(seeds) - 1, seeds.mean(), stats.sem(seeds))
        assert (band.mean[step], band.low[step], band.high[step]) == pytest.approx((seeds.mean(), low, high))
    assert band.mean[2] == by_seed[0, 2]
    assert np.isnan([band.low[2], band.high[2]]).all()


def test_what_can_not_be_drawn_is_refused():
    with pytest.raises(ValueError, match="got 2 positives of 2"):
        roc_points(np.zeros(2), np.ones(2, bool))
    with pytest.raises(ValueError, match=r"confidences must be in \[0, 1\]"):
        reliability(np.array([1.2]), np.array([True]))


def test_a_histogram_of_a_short_range_names_its_ticks_in_plain_words():
    edges = 2.0 ** np.linspace(1, 5, 17)
    chart = histogram_chart(edges, np.ones(16), None, x_name="tokens", names=("all", "part"), label="tokens")
    assert "math" not in chart
