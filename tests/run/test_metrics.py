"""The series that a cluster's watchers see: those of the dashboard, set from what stages and trainings know."""

import json
import re
from collections import Counter

import pytest

from raypipe.run import metrics
from raypipe.run.commit import Totals
from raypipe.run.progress import StageRates
from raypipe.run.trainer import figures
from tests.conftest import ROOT

LINE = {"step": 3, "loss": 2.5, "tokens_per_s": 900.0, "mfu": 0.4, "step_s": 1.0}


def test_the_dashboard_draws_every_series_and_no_other() -> None:
    dashboard = (ROOT / "cluster/grafana.json").read_text()
    drawn = re.findall(r"ray_(raypipe_\w+)", "".join(panel for panel in dashboard.split('"expr"')[1:]))
    assert set(drawn) == set(metrics.SERIES)


def test_panels_of_the_dashboard_lie_beside_each_other() -> None:
    panels = json.loads((ROOT / "cluster/grafana.json").read_text())["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len({panel["id"] for panel in panels}) == len(panels)


def test_stages_trainings_and_sweeps_set_every_series() -> None:
    names = {*StageRates("scores", 9).figures(), *figures(LINE), "trials"}
    assert {f"raypipe_{name}" for name in names} == set(metrics.SERIES)


def test_a_stage_tells_what_is_done_failed_set_aside_and_waiting() -> None:
    totals = Totals(shards=4, rows=40, tokens=300, padding=100, skipped=Counter({"failed: x": 2, "empty": 5}))
    shown = StageRates("scores", 9, totals=totals, set_aside=1).figures()
    expected = {"documents": 40, "documents_failed": 2, "tokens": 300, "padding_fraction": 0.25}
    expected |= {"shards_done": 4, "shards_waiting": 4, "shards_set_aside": 1}
    assert expected.items() <= shown.items()
    assert StageRates("scores", 9, unit="rows", totals=totals).figures()["tokens"] is None


def test_a_run_is_named_without_the_address_of_its_store() -> None:
    assert metrics.short("s3://key:secret@bucket/team/runs/one") == "runs/one"
    assert metrics.short("file:///data/runs/one/") == "runs/one"


def test_without_a_ray_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "gauge", lambda name: pytest.fail("it was set"))
    monkeypatch.delitem(metrics.sys.modules, "ray", raising=False)
    metrics.show({"documents": 1}, run="r", stage="s")


def test_what_is_known_is_set_with_its_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    was_set: list[tuple] = []

    class Gauge:
        def __init__(self, name: str) -> None:
            self.name = name

        def set(self, value: float, *, tags: dict[str, str]) -> None:
            was_set.append((self.name, value, tags))

    monkeypatch.setitem(metrics.sys.modules, "ray", type("Ray", (), {"is_initialized": staticmethod(lambda: True)}))
    monkeypatch.setattr(metrics, "gauge", Gauge)
    metrics.show({"documents": 7, "tokens": None}, run="s3://bucket/runs/one", stage="scores")
    assert was_set == [("raypipe_documents", 7.0, {"run": "runs/one", "stage": "scores", "status": ""})]
