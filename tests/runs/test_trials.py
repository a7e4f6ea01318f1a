import json
import threading
from pathlib import Path

import pytest

from raypipe.runs.signals import Stopped
from raypipe.runs.trials import Trial, TrialFiles, report, run_here, run_trial
from raypipe.storage.folder import Folder


@pytest.fixture
def files(tmp_path: Path) -> TrialFiles:
    return TrialFiles(Folder(str(tmp_path / "trials")), {"data": "a"})


def square(settings, seed, folder):
    folder.write("ran", b"")
    for step in (1, 2):
        report(step, loss=settings["x"] / step)
    return {"loss": settings["x"] ** 2 + seed}


def counted(log: Path):
    def function(settings, seed, folder):
        log.write_text((log.read_text() if log.exists() else "") + f"{settings['x']},")
        if settings["x"] == 1:
            raise ZeroDivisionError("no such point")
        return {"loss": 0.0}

    return function


def test_a_trial_ends_as_a_file_of_settings_metrics_and_curve(files):
    result = run_trial(square, Trial({"x": 3}, 1), files)
    assert (result.status, result.metrics) == ("finished", {"loss": 10.0})
    assert result.curve == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 1.5}]
    assert files.read(Trial({"x": 3}, 1)) == result == files.all()[0]
    assert files.own(result.trial).exists("ran")


def test_a_trial_that_ended_is_not_run_again(files, tmp_path):
    function, trials = counted(tmp_path / "log"), [Trial({"x": x}) for x in (0, 1, 2)]
    first = run_here(function, trials, files)
    again = run_here(function, trials, files)
    assert first == again
    assert (tmp_path / "log").read_text() == "0,1,2,"


def test_a_failed_trial_keeps_its_error_and_the_others_go_on(files, tmp_path):
    results = run_here(counted(tmp_path / "log"), [Trial({"x": x}) for x in (0, 1, 2)], files)
    assert [result.status for result in results] == ["finished", "failed", "finished"]
    assert results[1].error is not None
    assert "ZeroDivisionError: no such point" in results[1].error


def test_a_trial_that_was_asked_to_stop_has_not_ended(files):
    def stopped(settings, seed, folder):
        raise Stopped("stopped at step 3")

    with pytest.raises(Stopped, match="at step 3"):
        run_here(stopped, [Trial({"x": 0})], files)
    assert files.read(Trial({"x": 0})) is None


def test_other_files_of_the_folder_are_no_trials(files):
    files.folder.write("card.json", json.dumps({"identity": files.identity}).encode())
    result = run_trial(square, Trial({"x": 3}, 1), files)
    assert files.all() == [result]


def test_only_a_failed_trial_is_taken_up_again_and_only_if_asked(files, tmp_path):
    trials = [Trial({"x": x}) for x in (0, 1)]
    run_here(counted(tmp_path / "log"), trials, files)
    results = run_here(square, trials, files, retry=True)
    assert [result.status for result in results] == ["finished", "finished"]
    assert results[0].metrics == {"loss": 0.0}
    assert files.read(trials[1]).metrics == {"loss": 1.0}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [({"loss": float("nan")}, "finite, got loss nan"), ({"accuracy": 1.0}, "the metric 'loss', it gave accuracy")],
)
def test_a_trial_without_its_metric_has_failed(files, metrics, words):
    result = run_trial(lambda settings, seed, folder: metrics, Trial({}), files, metric="loss")
    assert result.status == "failed"
    assert words in result.error


def test_names_depend_on_settings_seed_and_identity_only():
    names = [
        Trial({"x": 1, "y": 2}).name({}),
        Trial({"x": 1, "y": 2}, 1).name({}),
        Trial({"x": 2, "y": 2}).name({}),
        Trial({"x": 1, "y": 2}).name({"data": "b"}),
    ]
    assert len(set(names)) == 4
    assert Trial({"y": 2, "x": 1}).name({}) == names[0]
    assert Trial({"x": (1, 2)}).name({}) == Trial({"x": [1, 2]}).name({})


def test_results_of_another_identity_are_not_read(files):
    run_trial(square, Trial({"x": 3}), files)
    other = TrialFiles(files.folder, {"data": "b"})
    assert other.all() == []
    assert other.read(Trial({"x": 3})) is None


def test_two_at_the_same_trial_take_turns_and_it_runs_once(files):
    started, go, runs = threading.Event(), threading.Event(), []

    def slow(settings, seed, folder):
        runs.append(1)
        started.set()
        go.wait(10)
        return {"loss": 1.0}

    threads = [threading.Thread(target=run_trial, args=(slow, Trial({}), files)) for _ in range(2)]
    threads[0].start()
    started.wait(10)
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert len(runs) == 1
    assert files.read(Trial({})).metrics == {"loss": 1.0}


def test_stopping_ends_after_the_trial_in_work(files):
    stopping = threading.Event()

    def once(settings, seed, folder):
        stopping.set()
        return {"loss": 1.0}

    assert len(run_here(once, [Trial({"x": x}) for x in range(3)], files, stopping=stopping)) == 1


def test_a_file_holds_only_json(files):
    run_trial(square, Trial({"x": 3}), files)
    (entry,) = [entry for entry in files.folder.files() if entry.path.endswith(".json")]
    assert json.loads(files.folder.read(entry.path))["identity"] == {"data": "a"}
