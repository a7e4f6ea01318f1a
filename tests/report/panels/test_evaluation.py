import json
import re

import pytest

from raypipe.report import write_report
from raypipe.storage.folder import Folder
from tests.report.page.test_page import Balance
from tests.report.panels.evaluations import CHOICES, write_evaluations
from tests.report.synthetic import HOSTILE


@pytest.fixture
def run(tmp_path) -> Folder:
    run = Folder(str(tmp_path / "my run"))
    run.write("train/card.json", json.dumps({"stage": "train", "kind": "train", "status": "finished"}).encode())
    return run


def report(run: Folder) -> str:
    write_report(run)
    return run.read("report.html").decode()


def test_an_evaluation_has_a_panel_with_its_effects_in_order(run):
    write_evaluations(run)
    page = report(run)
    assert '<a href="#evaluation">Evaluation</a>' in page
    forest = page[page.index('aria-label="finetuned minus each other') :]
    assert re.findall(r">(minus [\w-]+)<", forest) == ["minus majority", "minus tf-idf", "minus zero-shot"]
    assert "intervals hold 95 % of the resamples of cases" in page
    assert "Left out: no answer (3)." in page
    assert "<title>my run · raypipe report</title>" in page


def test_a_run_without_one_has_no_such_panel(run):
    assert "evaluation" not in report(run)


ENDS = {"mean": 0.61, "low": 0.52, "high": 0.7}
MEASURED = {
    "model": "SmolLM", "benchmarks": {
        "arc": {"kind": "choices", "n": 100, "chance": 0.25, "accuracy": {"raw": ENDS, "per_byte": ENDS},
                "groups": {"hard": {"raw": ENDS}, "easy": {"raw": ENDS}}},
        "mbpp": {"kind": "code", "n": 20, "samples": 1, "accuracy": {"pass@1": ENDS}},
    },
    "corpus": {
        "all": {"n": 9, "loss": ENDS, "bits_per_byte": ENDS},
        "unseen": {"all": {"n": 7, "loss": ENDS, "bits_per_byte": ENDS}},
        "domains": {"news": {"n": 9, "loss": ENDS, "bits_per_byte": ENDS}},
        "trained_on": {"n_shared": 2, "first": [{"name": "h0", "shared": "same text", "shared_ngrams": 1.0}]},
    },
}  # fmt: skip


def test_benchmarks_stand_beside_chance_and_documents_by_domain(run):
    run.write("evaluation/evaluation.json", json.dumps(MEASURED).encode())
    page = report(run)
    assert "61.0 [52.0, 70.0]" in page
    assert 'aria-label="accuracy above chance, in points"' in page
    assert "2 documents share their id, text or 13 words" in page
    for name in ("arc by group", "pass@1", "never trained on", "h0: same text"):
        assert name in page
    run.write("evaluation/evaluation.json", json.dumps({**MEASURED, "benchmarks": {}}).encode())
    assert "above chance" not in report(run)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_of_benchmarks_stay_text(run, text):
    quoted = json.dumps(text)[1:-1]
    hostile = json.dumps(MEASURED)
    for name in ("arc", "pass@1", "news", "same text", "SmolLM", "hard"):
        hostile = hostile.replace(f'"{name}"', f'"{quoted}"')
    run.write("evaluation/evaluation.json", hostile.encode())
    balance = Balance()
    balance.feed(page := report(run))
    assert balance.open == []
    assert not {"script", "img", "iframe", "link"} & balance.names
    assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(page)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(run, text):
    quoted = json.dumps(text)[1:-1]
    hostile = json.loads(json.dumps(CHOICES).replace("spam <b>", quoted).replace("tf-idf", quoted))
    run.write("finetune/evaluation.json", json.dumps(hostile | {"interval": text, "left_out": {text: 2}}).encode())
    balance = Balance()
    balance.feed(page := report(run))
    assert balance.open == []
    assert not {"script", "img", "iframe", "link"} & balance.names
    assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(page)


def test_a_classifier_stands_beside_its_rivals_with_rare_classes_first(run):
    recall = {"common": {"n": 90, **ENDS}, "rare<script>alert(1)</script>": {"n": 4, **ENDS}}
    own = {"accuracy": ENDS, "balanced_accuracy": ENDS, "calibration_error": ENDS, "recall": recall}
    found = {
        "ours": "rcal", "n": 94, "n_unknown": 0, "folds": 5, "contenders": {"rcal": own, "majority": own},
        "rcal minus": {"majority": {"balanced_accuracy": ENDS}}, "left_out": {"no label": 3}, "advice": "label more",
    }  # fmt: skip
    run.write("classifier/evaluation.json", json.dumps(found).encode())
    page = report(run)
    assert "94 rows in 5 folds; in %" in page
    assert page.index(">rare") < page.index(">common<")
    assert 'aria-label="rcal minus each other, in points"' in page
    assert "label more." in page
    assert "Left out: 3 rows, no label." in page
    assert "<script>" not in page
