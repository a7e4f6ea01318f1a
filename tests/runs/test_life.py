"""A job's life on a run folder, without any job: what run.json says, and with which status it ends."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from raypipe.runs import lock as locks
from raypipe.runs.life import Life
from raypipe.runs.lock import LOCK, Lock, Locked, LockLost
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


def life_on(run: Folder, job: str = "score", **changes: Any) -> Life:
    return Life(run, job, **{"recipe": {"corpus": ["s3://me:hush@b/c"]}, "stages": ["scores"], **changes})


def fail(life: Life, error: Exception, *, written: str | None = None) -> None:
    life.begin()
    if written is not None:
        (life.run / "selection").write(written, b"")
    raise error


def noted(run: Folder) -> dict:
    return json.loads(run.read("run.json"))


def test_a_job_that_ends_is_finished_and_its_recipe_holds_no_secret(run: Folder) -> None:
    with life_on(run) as life:
        assert not run.exists("run.json")  # nothing is said before all is checked
        life.begin()
        assert noted(run)["status"] == "running"
    assert (life.status, noted(run)["status"], noted(run)["stages"]) == (0, "finished", ["scores"])
    assert noted(run)["recipe"] == {"corpus": ["s3://b/c"]}
    assert not run.exists(LOCK)


def test_what_is_left_to_do_is_said_and_is_status_1(run: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    with life_on(run) as life:
        life.conclude("3 shards were set aside")
    assert (life.status, noted(run)["status"], noted(run)["why"]) == (1, "incomplete", "3 shards were set aside")
    assert "3 shards were set aside" in capsys.readouterr().err
    with life_on(run) as life:
        life.begin()
    assert "why" not in noted(run)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_request_to_stop_leaves_incomplete_and_its_own_status(run: Folder, number: int, code: int) -> None:
    with life_on(run) as life:
        life.begin()
        os.kill(os.getpid(), number)
        assert life.stopping.wait(5)
        raise Stopped("stopped at step 3")
    assert (life.status, noted(run)["status"], noted(run)["why"]) == (code, "incomplete", "stopped at step 3")


def test_work_that_looks_at_no_event_is_stopped_where_it_is(run: Folder) -> None:
    with life_on(run) as life:
        life.begin()
        with life.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("not reached")
    assert (life.status, noted(run)["status"]) == (143, "incomplete")
    with life_on(run) as life, life.at_once():
        pass
    assert life.status == 0


def test_a_failure_is_noted_with_its_reason_and_without_a_secret(run: Folder) -> None:
    with pytest.raises(RuntimeError), life_on(run) as life:
        fail(life, RuntimeError("can't read hf://hf_abcdefgh1234@datasets/x"))
    assert noted(run)["status"] == "failed"
    assert noted(run)["why"] == "can't read hf://datasets/x"
    assert not run.exists(LOCK)


def test_a_refusal_before_anything_is_written_leaves_the_run_as_it_was(run: Folder) -> None:
    with life_on(run) as life:
        life.begin()
    before = run.read("run.json")
    with pytest.raises(ValueError, match="share"), life_on(run, "select") as life:
        fail(life, ValueError("share must be above 0"))
    assert run.read("run.json") == before
    with pytest.raises(ValueError, match="text_hash"), life_on(run, "select") as life:
        fail(life, ValueError("text_hash differs"), written="a")
    assert noted(run)["status"] == "failed"


def test_each_job_is_noted_and_the_main_ones_recipe_is_shown(run: Folder) -> None:
    for job, is_main in (("tokenize", False), ("curate", True), ("pretrain", False)):
        with life_on(run, job, recipe={"of": job}, stages=[job], is_main=is_main) as life:
            life.begin()
    assert noted(run)["stages"] == ["tokenize", "curate", "pretrain"]
    assert (noted(run)["job"], noted(run)["recipe"]) == ("pretrain", {"of": "curate"})
    assert {job: of["recipe"]["of"] for job, of in noted(run)["jobs"].items()} == {
        "tokenize": "tokenize", "curate": "curate", "pretrain": "pretrain",
    }  # fmt: skip


def test_a_second_job_is_refused_and_changes_nothing(run: Folder) -> None:
    with Lock(run):
        before = {entry.path for entry in run.files(recursive=True)}
        with pytest.raises(Locked), life_on(run) as life:
            life.begin()
        assert {entry.path for entry in run.files(recursive=True)} == before


def test_a_job_whose_lock_was_taken_over_writes_nothing_more(run: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "CONFIRM_S", 0.0)

    def be_robbed(life: Life) -> None:
        life.begin()
        stage = life.run / "scores"
        with at_work(stage, {"stage": "scores"}):
            stage.write("a", b"mine")
            owner = json.loads(run.read(LOCK))  # what another machine does once we are silent for a minute
            run.write(LOCK, json.dumps({**owner, "token": "other"}).encode().ljust(locks.SIZE))
            stage.write("a", b"no longer mine")

    with pytest.raises(LockLost, match="another driver has taken over"), life_on(run) as life:
        be_robbed(life)
    assert (run / "scores").read("a") == b"mine"
    assert json.loads((run / "scores").read("card.json"))["status"] == "running"  # the other driver's to say
    assert noted(run)["status"] == "running"
    assert json.loads(run.read(LOCK))["token"] == "other"


def test_a_run_that_must_be_there_is_not_made(run: Folder) -> None:
    with pytest.raises(FileNotFoundError, match="holds no run"):
        life_on(run, is_new=False).__enter__()
    assert not Path(run.uri.removeprefix("file://")).exists()


def test_a_stage_is_thrown_away_once_all_is_checked(run: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    with at_work(run / "scores", {"stage": "scores", "times": {"busy_s": 7200.0}}):
        (run / "scores").write("a.parquet", b"")
    with life_on(run, restart="scores", yes=True) as life:
        assert life.is_restarting("scores")
        assert (run / "scores").exists("a.parquet")
        life.begin()
        assert (run / "scores").files() == []
    assert "throws away 2 files and 2.00 device-hours" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"restart": "score", "yes": True}, r"that this job does, got 'score'; the nearest is 'scores'"),
        ({"restart": "scores", "yes": True}, r"has no stage 'scores' to restart; there is none"),
        ({"restart": "scores", "stages": []}, "--restart has no effect here"),
    ],
)
def test_a_stage_that_cannot_be_restarted_is_refused_with_the_nearest(run: Folder, given: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        life_on(run, **given).__enter__()
    assert run.files() == []


def test_nobody_is_asked_where_there_is_no_terminal(run: Folder) -> None:
    with at_work(run / "scores", {"stage": "scores"}):
        pass
    with pytest.raises(ValueError, match="--restart needs --yes where nobody can be asked"):
        life_on(run, restart="scores").__enter__()
    assert (run / "scores").exists("card.json")
