import json

import numpy as np
import pytest

from raypipe.report import write_report
from raypipe.report.charts.axis import tick_label
from raypipe.report.charts.curves import MAX_POINTS, means, thinned
from raypipe.report.numbers.read import list_run
from raypipe.report.numbers.steps import read_steps
from raypipe.storage.folder import Folder
from tests.report.page.test_page import Balance
from tests.report.synthetic import HOSTILE
from tests.report.synthetic_training import write_training


@pytest.fixture
def run(tmp_path):
    return Folder(str(tmp_path / "run"))


def report(run) -> str:
    write_report(run)
    return run.read("report.html").decode()


def anchors(page: str) -> list[str]:
    return [part.split('"')[0] for part in page.split('<section id="')[1:]]


def test_steps_equal_the_lines_of_all_files(run):
    lines = write_training(run, n_steps=25, save_every=10, heldout_every=10)
    steps = read_steps(list_run(run), "train")
    assert steps["step"].tolist() == list(range(1, 26))
    for name in ("loss", "tokens", "gradient_norm", "data_wait_s", "memory_bytes"):
        assert steps[name].tolist() == [line[name] for line in lines]
    assert np.flatnonzero(np.isfinite(steps["heldout_loss"])).tolist() == [9, 19, 24]
    assert steps.heldout_by_domain["news"].tolist() == [
        [line["step"], line["heldout_by_domain"]["news"]] for line in lines if "heldout_by_domain" in line
    ]


def test_a_thinned_curve_is_bounded_and_keeps_every_spike():
    x, y = np.arange(10_000.0), np.random.default_rng(0).normal(size=10_000)
    y[[1234, 8000]], y[5000] = (50, -50), np.nan
    few_x, few_y = thinned(x, y)
    assert len(few_x) <= MAX_POINTS
    assert (np.diff(few_x) > 0).all()
    assert {1234, 8000} <= set(few_x)
    assert (few_y == y[few_x.astype(int)]).all()
    assert (few_y.min(), few_y.max()) == (-50, 50)


def test_means_of_a_straight_line_lie_on_it():
    x = np.arange(100.0)
    middle, mean = means(x, 3 * x + 1)
    assert len(middle) == 25
    assert mean == pytest.approx(3 * middle + 1)
    assert len(means(x[:8], x[:8])[0]) == 0


def test_the_figures_are_those_of_the_lines(run):
    lines = write_training(run, n_steps=200, save_every=50, heldout_every=50, status="incomplete")
    page = report(run)
    heldout = {line["step"]: line["heldout_loss"] for line in lines if "heldout_loss" in line}
    best = min(heldout, key=heldout.get)
    waited = sum(line["data_wait_s"] for line in lines) / sum(line["step_s"] for line in lines)
    median = {name: np.median([line[name] for line in lines]) for name in ("tokens_per_s", "mfu")}
    for said in (
        "<dd>200</dd>",
        f"<dd>{65_536 * 200 / 1e6:.1f} M</dd>",
        f"<dd>{lines[-1]['loss']:.3f}</dd>",
        f"<dd>{heldout[200]:.3f}</dd>",
        f"best {heldout[best]:.3f} at step {best}",
        f"<dd>{median['tokens_per_s']:,.0f}</dd>",
        f"<dd>{100 * median['mfu']:.1f} %</dd>",
        f"<dd>{100 * waited:.1f} %</dd>",
        "<dd>22.0 GiB</dd>",
        '<span class="strong"><bdi>incomplete</bdi></span>',
    ):
        assert said in page
    names = ("loss", "loss after the first fifth", "learning rate", "gradient norm", "tokens per second", "MFU, %",
             "waiting for data, %", "peak memory, GiB")  # fmt: skip
    assert [page.count(f'aria-label="{name} by step"') for name in names] == [1] * 8


def test_hostile_domains_stay_text_and_the_page_is_bounded(run):
    write_training(run, n_steps=5000, domains=(*HOSTILE, *(f"site {number}" for number in range(40))))
    page = report(run)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not {"script", "img", "iframe", "link"} & balance.names
    assert page.count("</script>") == 0
    assert f"{len(HOSTILE) + 40 - 24} domains of lower loss" in page
    assert len(page) < 250_000


def test_a_run_without_training_has_no_such_section(make):
    page = report(make(hostile=False).folder)
    assert "training" not in anchors(page)
    assert 'href="#training"' not in page


def test_a_scored_run_with_training_has_both(make):
    made = make(hostile=False)
    without = anchors(report(made.folder))
    write_training(made.folder, n_steps=20)
    page = report(made.folder)
    assert anchors(page) == [*without[:-1], "training", without[-1]]
    assert '<a href="#training">Training</a>' in page


def test_training_alone_makes_a_page_of_its_own(run):
    write_training(run, n_steps=20)
    write_training(run, "finetune-chat", n_steps=20, status="running", has_mfu=False)
    page = report(run)
    assert anchors(page) == ["training", "how"]
    assert '<span class="pill loud"><bdi>running</bdi></span>' in page
    assert page.index("<bdi>finetune-chat</bdi> · ") < page.index("<bdi>train</bdi> · ")
    assert page.count('aria-label="MFU, % by step"') == 1
    assert "unknown" not in page


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_steps": 0}, "No step is written down yet"),
        ({"n_steps": 1}, "Curves begin with the second step"),
        ({"n_steps": 2}, "loss by step"),
        ({"n_steps": 20, "domains": ()}, "No held-out loss was measured"),
    ],
)
def test_few_steps_make_a_page(run, settings, said):
    write_training(run, **settings)
    assert said in report(run)


def test_flat_and_missing_quantities_are_no_failure(run):
    lines = write_training(run, n_steps=3)
    for line in lines:
        line |= {"loss": 0.0, "learning_rate": 0.0, "gradient_norm": float("inf"), "step_s": 0.0, "memory_bytes": None}
    run.write("train/metrics/00000001.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())
    page = report(run)
    assert "learning rate by step" in page
    assert not any(f'aria-label="{name}' in page for name in ("gradient norm", "peak memory", "waiting for data"))


def test_a_broken_line_is_named(run):
    write_training(run, n_steps=3)
    run.write("train/metrics/00000004.jsonl", b'{"step": 4}\n{"step": 5')
    with pytest.raises(ValueError, match=r"train/metrics/00000004\.jsonl, line 2, isn't JSON"):
        write_report(run)
    run.write("train/metrics/00000004.jsonl", b"[]")
    with pytest.raises(ValueError, match="line 1, must be a JSON object with a step"):
        write_report(run)


@pytest.mark.parametrize(
    ("tick", "said"), [(0.25, "0.25"), (-1, "−1"), (0, "0"), (2000, "2k"), (1.5e6, "1.5M"), (2.5e-4, "2.5e−4")]
)
def test_ticks_are_short(tick, said):
    assert tick_label(tick) == said
