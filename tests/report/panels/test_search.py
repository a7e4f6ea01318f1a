import json

import pytest

from raypipe.report import write_report
from raypipe.storage.folder import Folder
from tests.report.synthetic import HOSTILE


def trial(at, status="finished", **more):
    curve = [[step, 3.0 + at - 0.1 * step] for step in range(1, 4 if status == "finished" else 3)]
    metrics = {} if status == "failed" else {"heldout_loss": curve[-1][1]}
    return {
        "name": f"{at:016x}", "settings": {"learning_rate": 10.0**-at, "optimiser": "adamw"}, "seed": 0,
        "status": status, "metrics": metrics, "curve": curve, "error": None, "seconds": 40.0, "steps": len(curve),
        **more,
    }  # fmt: skip


def report(tmp_path, **more):
    run = Folder(str(tmp_path / "my run"))
    trials = [trial(1), trial(2), trial(3, "stopped"), trial(4, "failed", error="ValueError: no luck")]
    found = {
        "job": "finetune", "metric": "heldout_loss", "mode": "min", "search": "optuna", "asha": {"max_steps": 3},
        "settings": ["learning_rate", "optimiser"], "best": trials[0]["settings"], "n_finished": 2, "seconds": 160.0,
        "steps": 11, "importance": {"learning_rate": 0.9, "optimiser": 0.1}, "trials": trials, **more,
    }  # fmt: skip
    run.write("trials/card.json", json.dumps({"stage": "trials", "kind": "search", "status": "finished"}).encode())
    run.write("trials/search.json", json.dumps(found).encode())
    write_report(run)
    return run.read("report.html").decode()


def test_a_search_has_every_trial_its_curves_its_importance_and_its_cost(tmp_path):
    page = report(tmp_path)
    assert '<a href="#search">Search</a>' in page
    assert 'aria-label="heldout_loss of each trial by step"' in page
    assert page.index("0000000000000001") < page.index("0000000000000003") < page.index("ValueError: no luck")
    assert "1 stopped early, 1 failed" in page
    assert "Which settings mattered" in page
    assert "90" in page[page.index("Which settings mattered") :][:900]
    assert "scored" not in page[: page.index("</header>")]


def test_without_curves_and_importance_it_is_said(tmp_path):
    page = report(tmp_path, trials=[trial(1, curve=[])], importance={})
    assert "there are no curves" in page
    assert "Too few trials finished" in page


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_words(tmp_path, text):
    page = report(tmp_path, trials=[trial(1, "failed", error=text, settings={"learning_rate": text})])
    assert "<script" not in page
