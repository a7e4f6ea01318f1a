"""The part of a concept: answers are counted, students stand beside each other, and without truth nothing is judged."""

import json
import re

import pytest

from raypipe.report import write_report
from raypipe.storage.folder import Folder
from tests.report.page.tables import tables
from tests.report.page.test_page import Balance
from tests.report.synthetic import HOSTILE

ENDS = {"mean": 0.1, "low": 0.02, "high": 0.2}
FIGURES = {
    "f1": 0.8, "low": 0.7, "high": 0.9, "precision": 0.75, "recall": 0.857, "accuracy": 0.91, "average_precision": 0.88
}  # fmt: skip
FOUND = {
    "concept": "sound", "positive": ["Does it play music?"], "negative": ["Is it a game?"], "rows": 1200,
    "left_out": {"no text": 3}, "pool": 900, "tune": 0, "test": 300, "decided_by": "rule", "calls": 1400, "kept": 200,
    "calls_of_judging": 600, "taught": {
        "margin": {"rows": 250, "positive": 60, "calls": 500}, "random": {"rows": 250, "positive": 30, "calls": 300},
    },
    "judged": {"student by margin": FIGURES, "student by random": {**FIGURES, "f1": 0.6}, "annotator": FIGURES},
    "minus": {"student by random": ENDS, "annotator": {"mean": 0.0, "low": -0.1, "high": 0.1}},
}  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Folder:
    run = Folder(str(tmp_path / "my run"))
    run.write("concept/card.json", json.dumps({"stage": "concept", "kind": "concept", "status": "finished"}).encode())
    return run


def report(run: Folder, found: dict) -> str:
    run.write("concept/results.json", json.dumps(found).encode())
    write_report(run)
    return run.read("report.html").decode()


def test_answers_are_counted_and_students_stand_beside_each_other(run):
    page = report(run, FOUND)
    assert "1,200 rows, 900 of them in the pool" in page
    assert "1,400 answers were asked for, 200 more kept" in page
    found = tables(page)
    asked = [list(row.values()) for row in found["Answers asked for"]]
    assert asked == [
        ["student by margin", "250", "60", "500"], ["student by random", "250", "30", "300"],
        ["judging the annotator", "–", "–", "600"],
    ]  # fmt: skip
    judged = found["300 rows with truth, %"]
    assert [row["F1 [95 % of rows]"][:4] for row in judged] == ["80.0", "60.0", "80.0"]
    assert judged[0]["accuracy"] == "91.0"
    forest = page[page.index('aria-label="student by margin minus each other, in points"') :]
    assert re.findall(r">(by random|annotator)<", forest)[:2] == ["by random", "annotator"]
    for line in ("positive: Does it play music?", "Left out: 3 rows, no text."):
        assert line in page


def test_without_truth_nothing_is_judged(run):
    page = report(run, FOUND | {"judged": {}, "minus": {}, "test": 0, "calls_of_judging": 0})
    assert next(iter(tables(page))) == "Answers asked for"
    assert "rows with truth" not in page
    assert "minus each other" not in page
    assert "judging the annotator" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_text(run, text):
    page = report(run, FOUND | {"concept": text, "positive": [text], "left_out": {text: 1}})
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    assert not {"script", "img", "iframe", "link"} & balance.names
    assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(page)
