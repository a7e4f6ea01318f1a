import json
import re

import pytest

from raypipe.report import write_report
from raypipe.storage.folder import Folder
from tests.report.page.test_page import Balance
from tests.report.synthetic import HOSTILE


def claim(sentence: str, verdict: str, mean: float, **more):
    effect = {"mean": mean, "low": mean - 0.02, "high": mean + 0.02, "n": 8}
    return {"sentence": sentence, "verdict": verdict, "metric": "auroc", "effect": effect, "at_least": 0.1,
            "within": None, "bar": "above 0.1", **more}  # fmt: skip


STUDY = {
    "study": "min-k-prob", "summary": "Members have likelier rare tokens.", "source": "W. Shi et al., table 1",
    "commit": "1cdeac2962", "date": "2026-11-25T11:20:36+00:00", "data": ["made", "sample"], "seeds": 8,
    "seconds": 96.0,
    "failed": {"arm min-k, seed 3": "ValueError: no luck"}, "arm_seconds": {"min-k": 60.0, "null": 36.0},
    "claims": [
        claim("members stand out", "shown", 0.3),
        claim("so they do by length", "not shown", 0.11),
        claim("the two are alike", "contradicted", 0.4, metric="tpr", within=0.1, bar="within ±0.1"),
        {**claim("nobody ran this", "not shown", 0), "effect": {}},
        claim("half of the gap is closed", "shown", 0.6, share_of="ceiling"),
        {**claim("there was hardly a gap", "not shown", 0), "effect": {}, "share_of": "ceiling", "is_unbounded": True},
    ],
    "arms": {"made": {"min-k": {"auroc": [0.8, 0.01, 8]}, "null": {"auroc": [0.5, 0.02, 8], "tpr": [0.1, 0.0, 8]}}},
}  # fmt: skip


def report(tmp_path, found) -> str:
    run = Folder(str(tmp_path / "my run"))
    run.write("trials/study.json", json.dumps(found).encode())
    run.write("run.json", json.dumps({"status": "finished"}).encode())
    write_report(run)
    return run.read("report.html").decode()


def test_a_study_has_its_claims_their_effects_against_the_bars_and_its_arms(tmp_path):
    page = report(tmp_path, STUDY)
    assert '<a href="#study">Study</a>' in page
    assert "2 shown, 3 not shown, 1 contradicted" in page
    forest = page[page.index('aria-label="claims about auroc"') :].split("</svg>")[0]
    assert re.findall(r">(claim \d)<", forest) == ["claim 1", "claim 2"]
    assert 'aria-label="claims about auroc, share of the gap"' in page
    assert "unbounded" in page[page.index("there was hardly a gap") :]
    assert 'aria-label="claims about tpr"' not in page  # a claim of likeness has no side to be beyond
    assert page.index("members stand out") < page.index("nobody ran this")
    assert "0.800 ± 0.010" in page
    assert "1 min 0 s" in page
    assert "Failed: arm min-k, seed 3: ValueError: no luck" in page
    assert "Commit 1cdeac2962" in page
    assert "scored" not in page[: page.index("</header>")]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_words_stay_words(tmp_path, text):
    quoted = json.dumps(text)[1:-1]
    hostile = json.loads(json.dumps(STUDY).replace("members stand out", quoted).replace("min-k", quoted))
    balance = Balance()
    balance.feed(page := report(tmp_path, hostile))
    assert balance.open == []
    assert not {"script", "img", "iframe", "link"} & balance.names
    assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(page)
