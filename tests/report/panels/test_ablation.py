import json
import re

import pytest

from raypipe.report import write_report
from raypipe.storage.folder import Folder
from tests.report.page.test_page import Balance
from tests.report.panels.ablations import ABLATION, ARMS, arm, write_ablation
from tests.report.synthetic import HOSTILE


@pytest.fixture
def run(tmp_path) -> Folder:
    return Folder(str(tmp_path / "my run"))


def report(run: Folder) -> str:
    write_report(run)
    return run.read("report.html").decode()


def rows(page: str, caption: str) -> dict[str, list[str]]:
    """The cells of a table by the name of their row."""
    body = page[page.index(f"<caption>{caption}") :].split("</table>")[0]
    found = {}
    for row in re.findall(r"<tr.*?</tr>", body, flags=re.DOTALL)[1:]:
        first, *cells = re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, flags=re.DOTALL)
        found[plain(first)] = [plain(cell) for cell in cells]
    return found


def plain(cell: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<.*?>", "", cell)).strip()


def test_an_ablation_says_who_won_by_how_much_and_what_it_cost(run):
    write_ablation(run)
    page = report(run)
    assert '<a href="#ablation">Ablation</a>' in page
    assert "influence-0.2 is better than its control, by heldout_loss, paired over seeds" in page
    effects = rows(page, "Effects against a random selection")
    assert effects["influence-0.2"] == [
        "random-0.2",
        "0.0500",
        "0.0400 to 0.0600",
        "98.3 %",
        "0.030",
        "3",
        "better",
        "–",
    ]
    assert effects["longest-0.2"][-2:] == ["no difference shown", "11"]
    assert effects["full"][1:] == ["–", "–", "–", "–", "–", "not judged", "–"]
    assert next(iter(rows(page, "Arms, mean"))) == "influence-0.2"
    assert rows(page, "Arms, mean")["influence-0.2"][0] == "3.3500 ± 0.020"
    assert "4 arms, 3 seeds; 1 failed" in page


def test_charts_show_controls_and_arms_with_their_intervals(run):
    write_ablation(run)
    page = report(run)
    forest = page[page.index('aria-label="effect of each arm"') :].split("</svg>")[0]
    assert {"influence-0.2", "longest-0.2"} <= set(re.findall(r">([\w.-]+)<", forest))
    curves = page[page.index('aria-label="held-out loss of each arm"') :].split("</svg>")[0]
    assert set(ARMS) <= set(re.findall(r">([\w.-]+)<", curves))


def test_selections_overlaps_domains_and_lineage_can_be_read(run):
    write_ablation(run)
    page = report(run)
    assert rows(page, "What each arm selected")["code"] == ["70.0 %"] * 3
    assert rows(page, "Overlap of the arms")["random-0.2"] == ["100 %", "25.0 %", "0 %"]
    assert rows(page, "Held-out loss by domain")["web"] == ["0.0500 better", "0.0010", "–"]
    assert rows(page, "From the figures back")["scores"] == ["scores", "corpus and heads", "heads 14"]
    assert "ValueError: no luck" in page
    assert "./ablation/ablation.json" in page


def test_nothing_measured_is_said(run):
    arms = {name: {**arm(name, 0), "metrics": {}, "curves": []} for name in ARMS}
    nothing = [{**one, "effect": None, "verdict": "not judged"} for one in ABLATION["comparisons"]]
    write_ablation(run, arms=arms, comparisons=nothing, winner=None)
    page = report(run)
    assert "Too few trials finished to compare two arms." in page
    assert "No difference shown: no arm is better" in page


def test_a_run_without_one_has_no_such_panel(run):
    run.write("train/card.json", json.dumps({"stage": "train", "kind": "train", "status": "finished"}).encode())
    assert "blation" not in report(run)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text(run, text):
    quoted = json.dumps(text)[1:-1]
    hostile = json.loads(json.dumps(ABLATION).replace("influence-0.2", quoted).replace("code", quoted))
    write_ablation(run, **hostile)
    balance = Balance()
    balance.feed(page := report(run))
    assert balance.open == []
    assert not {"script", "img", "iframe", "link"} & balance.names
    assert not {"\x1b", "\x07", "\x00", "\u202e"} & set(page)
