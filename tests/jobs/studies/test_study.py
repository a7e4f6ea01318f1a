import json
from dataclasses import replace
from pathlib import Path

import pytest

from jobs import study as job
from jobs.parts import studying
from jobs.studies import open_data, verdicts
from jobs.studies import study as studies
from jobs.studies.study import Study, code_hash
from raypipe.evaluate.claims import Claim
from raypipe.run.chain import Step
from raypipe.runs.card import IdentityChanged

CLAIM = Claim(sentence="a beats b", metric="accuracy", of="a", over="b", at_least=0.1)


def trial(settings, seed, folder):
    if settings["arm"] == "a" and settings.get("fails_at") == seed:
        raise ValueError("no luck")
    return {"accuracy": (0.9 if settings["arm"] == "a" else 0.5) + seed / 100}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Study:
    """A study that only this test knows, whose results are written to the test's folder."""
    study = Study(
        source="nowhere", trial=trial, arms={"a": {}, "b": {}}, control="b", claims=(CLAIM,), more_data=("far_away",)
    )
    monkeypatch.setattr(Study, "name", "made")
    monkeypatch.setattr(Study, "summary", "Made for a test.")
    monkeypatch.setattr(job, "study_names", lambda: ["made"])
    for module in (job, verdicts):
        monkeypatch.setattr(module, "load_study", lambda name: study)
    results, table = tmp_path / "results", tmp_path / "RESULTS.md"
    monkeypatch.setattr(studying, "read_record", lambda name: verdicts.read_record(name, results))
    monkeypatch.setattr(studying, "write_record", lambda found: verdicts.write_record(found, results))
    for module in (job, studying):
        monkeypatch.setattr(module, "write_table", lambda: verdicts.write_table(results, table))
    return study


def run(tmp_path: Path, **more) -> int:
    return job.main(job.Config(name="made", output=str(tmp_path / "runs"), on="here", **more))


def test_a_study_ends_as_a_results_file_and_a_table(made, tmp_path, capsys):
    assert run(tmp_path) == 0
    found = json.loads((tmp_path / "results" / "made.json").read_text())
    assert found["claims"][0]["verdict"] == "shown"
    assert found["claims"][0]["effect"]["mean"] == pytest.approx(0.4)
    assert found["arms"]["made"]["a"]["accuracy"][2] == made.seeds
    assert found["left_out"] == ["far_away"]
    assert "| a beats b | **shown** | 0.4 |" in (tmp_path / "RESULTS.md").read_text()
    said = capsys.readouterr()
    assert "left out: far_away" in said.err
    assert "Report: " in said.out
    page = (tmp_path / "runs/made/report.html").read_text()
    assert '<section id="study">' in page
    assert "<bdi>running</bdi>" not in page  # not written too early
    told = json.loads((tmp_path / "runs/made/verdicts/study.json").read_text())
    assert told.items() >= found.items()
    assert set(told["arm_seconds"]) == {"a", "b"}


def test_an_arm_whose_folder_is_not_there_is_left_out_and_said(made, tmp_path, monkeypatch, capsys):
    arms = {**made.arms, "c": {}}
    claim = replace(CLAIM, sentence="a beats c", over="c")
    study = replace(made, arms=arms, needs={"c": "model"}, claims=(CLAIM, claim))
    monkeypatch.setattr(job, "load_study", lambda name: study)
    monkeypatch.setattr(verdicts, "load_study", lambda name: study)
    assert run(tmp_path) == 0
    found = json.loads((tmp_path / "results" / "made.json").read_text())
    assert found["left_out"] == ["far_away", "c (model of --data)"]
    assert [one["verdict"] for one in found["claims"]] == ["shown", "not shown"]
    assert set(found["arms"]["made"]) == {"a", "b"}
    assert "arms left out, as there is no folder for them: c (model of --data)" in capsys.readouterr().err
    assert not verdicts.is_stale(study, found)
    (tmp_path / "data" / "model").mkdir(parents=True)
    assert run(tmp_path, data=str(tmp_path / "data")) == 0
    found = json.loads((tmp_path / "results" / "made.json").read_text())
    assert set(found["arms"]["made"]) == {"a", "b", "c"}
    assert found["left_out"] == ["far_away"]
    assert not verdicts.is_stale(study, found)


def test_results_with_other_seeds_are_not_for_committing(made, tmp_path):
    assert run(tmp_path, seeds=3) == 0
    assert not (tmp_path / "results").exists()


def test_all_runs_only_studies_whose_identity_changed(made, tmp_path, monkeypatch):
    def all_of_them() -> int:
        return job.main(job.Config(all=True, output=str(tmp_path / "runs"), on="here"))

    assert all_of_them() == 0
    first = (tmp_path / "results" / "made.json").read_text()
    assert all_of_them() == 0
    assert (tmp_path / "results" / "made.json").read_text() == first
    harder = replace(made, claims=(replace(CLAIM, at_least=0.5),))
    monkeypatch.setattr(job, "load_study", lambda name: harder)
    trials = sorted((tmp_path / "runs" / "made" / "trials").glob("*.json"))
    before = [path.stat().st_mtime_ns for path in trials]
    assert all_of_them() == 0
    assert json.loads((tmp_path / "results" / "made.json").read_text())["claims"][0]["verdict"] == "contradicted"
    assert [path.stat().st_mtime_ns for path in trials] == before  # judged anew, not run anew


def test_a_failed_trial_is_no_verdict_and_status_1(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job, "load_study", lambda name: replace(made, settings={"fails_at": 2}))
    assert run(tmp_path) == 1
    assert "ValueError: no luck" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_a_metric_that_no_trial_gives_is_an_error(made, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "load_study", lambda name: replace(made, claims=(replace(CLAIM, metric="recall"),)))
    with pytest.raises(ValueError, match="arm 'a' must give metric 'recall', it gave accuracy"):
        run(tmp_path)


@pytest.mark.usefixtures("made")
def test_a_misspelt_study_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="got 'maid'; the nearest is 'made'"):
        job.main(job.Config(name="maid", output=str(tmp_path)))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"claims": (replace(CLAIM, of="c"),)}, "got 'c': 'a beats b'"),
        ({"arms": {"a": {}, "b": {}, "c": {}}, "control": "c"}, "'c' is in none"),
    ],
)
def test_a_study_without_its_arms_or_its_control_is_refused(more, words):
    given = {"source": "", "trial": trial, "arms": {"a": {}, "b": {}}, "control": "b", "claims": (CLAIM,)}
    with pytest.raises(ValueError, match=words):
        Study(**{**given, **more})


def test_code_that_changes_no_metric_changes_no_identity(monkeypatch):
    first = '"""Doc."""\nX = 1\nS = Study(trial=f, claims=(Claim(at_least=1),))  # why\n'
    hashes = {}
    for name, code in {
        "first": first,
        "other words": first.replace("Doc", "Other").replace("# why", ""),
        "other bar": first.replace("at_least=1", "at_least=2"),
        "other value": first.replace("X = 1", "X = 2"),
    }.items():
        monkeypatch.setattr(studies, "_source", lambda module, code=code: code)
        hashes[name] = code_hash("m")
    assert hashes["first"] == hashes["other words"] == hashes["other bar"] != hashes["other value"]


def test_the_code_of_what_a_study_imports_counts(monkeypatch):
    code = {"m": "from raypipe.score.text import zlib_ratio\n", "raypipe.score.text": "X = 1\n"}
    monkeypatch.setattr(studies, "_source", code.__getitem__)
    before = code_hash("m")
    code["raypipe.score.text"] = "X = 2\n"
    assert code_hash("m") != before


def test_what_trials_share_is_made_once_before_them(made, tmp_path, monkeypatch):
    worked = []

    def stage(settings, data, own):
        def work(card, stopping):
            worked.append(data)
            own.write("offset", str(settings["offset"]).encode())

        return Step({"offset": settings["offset"]}, work)

    def shifted(settings, seed, folder):
        kept = open_data.made(settings["data"])
        assert kept is not None
        return {"accuracy": trial(settings, seed, folder)["accuracy"] + float(kept.read("offset"))}

    study = replace(made, trial=shifted, stage=stage, settings={"offset": 7.0})
    monkeypatch.setattr(job, "load_study", lambda name: study)
    monkeypatch.setenv(open_data.STAGE, "")
    assert run(tmp_path) == 0
    assert run(tmp_path) == 0
    assert worked == ["made"]
    found = json.loads((tmp_path / "results" / "made.json").read_text())
    assert found["arms"]["made"]["a"]["accuracy"][0] == pytest.approx(7.9 + 3.5 / 100)
    monkeypatch.setattr(job, "load_study", lambda name: replace(study, settings={"offset": 8.0}))
    with pytest.raises(IdentityChanged, match=r"'made' of features: .* offset was 7.0 and is now 8.0"):
        run(tmp_path)
