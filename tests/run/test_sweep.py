import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from raypipe.run.cluster import Node, Resources
from raypipe.run.sweep import Need, Sweep, max_concurrent, sweep
from raypipe.run.sweep_search import Asha, Goal, Optuna, scheduler, search
from raypipe.runs.space import Range, Values
from raypipe.runs.trials import Result, Trial, TrialFiles, report, run_here
from raypipe.storage.folder import Folder

from ..conftest import ROOT
from . import sweep_driver
from .sweep_driver import TRIALS, trial

N_STEPS = 27


@pytest.mark.parametrize(
    ("need", "nodes", "n"),
    [
        (Need(cpus=1), [Node(4)], 2),  # two logical CPUs of this machine are there for readers
        (Need(cpus=16), [Node(16), Node(4)], 1),
        (Need(cpus=1, gpus=1), [Node(16, 8), Node(16, 8)], 16),
        (Need(cpus=1, gpus=1, workers=4), [Node(16, 2), Node(16, 8)], 2),
        (Need(cpus=1, gpus=0.5), [Node(16, 2)], 4),
    ],
)
def test_as_many_trials_run_as_have_room(need, nodes, n):
    assert max_concurrent(need, Resources(tuple(nodes))) == n


@pytest.mark.parametrize("need", [Need(gpus=1), Need(cpus=8), Need(workers=4)])
def test_a_need_that_nothing_meets_is_refused_before_the_first_trial(need, tmp_path):
    plan = Sweep(lambda *_: pytest.fail("ran"), TrialFiles(Folder(str(tmp_path)), {}), [Trial({})], need=need)
    with pytest.raises(ValueError, match=r"a trial needs .* fit on the machines of the cluster"):
        sweep(plan, Folder(str(tmp_path)), stopping=threading.Event(), resources=Resources((Node(4), Node(2))))


def test_an_empty_sweep_and_one_without_a_metric_to_go_by_are_refused(tmp_path):
    files = TrialFiles(Folder(str(tmp_path)), {})
    with pytest.raises(ValueError, match="at least one trial"):
        Sweep(trial, files, [])
    with pytest.raises(ValueError, match="need a metric"):
        Sweep(trial, files, Optuna({"x": Range(0, 1)}, 3))


def test_asha_knows_the_curves_of_trials_that_ended_before():
    past = [Result(Trial({"x": x}), "finished", {}, [{"step": 1, "loss": x}]) for x in (1.0, 2.0, 3.0)]
    told = scheduler(Asha(9, first_steps=1), Goal("loss"), past)
    fresh, now = SimpleNamespace(trial_id="fresh"), {"step": 1, "loss": 2.5}
    told.on_trial_add(None, fresh)
    assert told.on_trial_result(None, fresh, now) == "STOP"
    untold = scheduler(Asha(9, first_steps=1), Goal("loss"), [])
    untold.on_trial_add(None, fresh)
    assert untold.on_trial_result(None, fresh, now) == "CONTINUE"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_trials_on_tune_end_as_files_and_none_is_run_again(tmp_path):
    files, quick = TrialFiles(Folder(str(tmp_path / "trials")), {}), {"seconds": 0}
    trials = [Trial({"x": x, **quick}) for x in range(3)]
    trials += [Trial({"x": 8, "fails": True, **quick}), Trial({"x": 9, "dies": True, **quick})]
    plan = Sweep(trial, files, trials)
    results = sweep(plan, Folder(str(tmp_path)), stopping=threading.Event())
    assert [result.status for result in results] == ["finished"] * 3 + ["failed"] * 2
    assert [result.metrics["loss"] for result in results[:3]] == [0.0, 1.0, 4.0]
    assert "ValueError: this point is bad" in results[3].error
    assert "its process died 4 times" in results[4].error
    log = (tmp_path / "log").read_text()
    assert sweep(plan, Folder(str(tmp_path)), stopping=threading.Event()) == results
    assert (tmp_path / "log").read_text() == log
    assert "AGAIN" not in log
    assert not [entry.path for entry in Folder(str(tmp_path)).files(recursive=True) if entry.path.endswith(".pkl")]
    counts = json.loads((tmp_path / "progress" / "now.json").read_text())["counts"]
    assert counts == {"finished": 3, "failed": 2}


def leaves_no_process(settings, seed, folder):
    """The next trial can't have this one's process: it dies as it is handed over, or isn't released in time."""
    from ray.tune.trainable.function_trainable import FunctionTrainable

    hands_over = (lambda *_: os._exit(9)) if settings["x"] % 2 else (lambda *_: False)
    FunctionTrainable.reset_config = hands_over
    return {"loss": settings["x"]}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_trial_that_gets_no_process_from_the_one_before_is_not_given_up(tmp_path):
    files = TrialFiles(Folder(str(tmp_path / "trials")), {})
    plan, two = Sweep(leaves_no_process, files, [Trial({"x": x}) for x in range(6)]), Resources((Node(4),))
    results = sweep(plan, Folder(str(tmp_path)), stopping=threading.Event(), resources=two)
    assert [(result.status, result.metrics) for result in results] == [("finished", {"loss": x}) for x in range(6)]


def scripted(settings, seed, folder):
    """A curve that falls to its setting: good trials are good from the start."""
    for step in range(1, N_STEPS + 1):
        report(step, loss=settings["x"] + 1 / step)
    return {"loss": settings["x"]}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_asha_stops_at_least_half_of_the_steps_and_keeps_the_best(tmp_path):
    order = [7, 2, 9, 4, 0, 11, 5, 1, 10, 3, 8, 6]
    files = TrialFiles(Folder(str(tmp_path / "trials")), {})
    plan = Sweep(
        scripted, files, [Trial({"x": x}) for x in order], goal=Goal("loss"), asha=Asha(N_STEPS, first_steps=1)
    )
    one_at_a_time = Resources((Node(1),))  # what ASHA saves depends on who is first at a rung: here on nothing else
    results = sweep(plan, Folder(str(tmp_path)), stopping=threading.Event(), resources=one_at_a_time)
    assert sum(result.steps for result in results) <= 0.5 * len(order) * N_STEPS
    best = min(results, key=lambda result: result.metrics["loss"])
    assert (best.trial.settings, best.status, best.steps) == ({"x": 0}, "finished", N_STEPS)
    assert {result.status for result in results} == {"finished", "stopped"}
    assert sweep(plan, Folder(str(tmp_path)), stopping=threading.Event()) == results


def parabola(settings, seed, folder):
    return {"loss": (settings["x"] - 3) ** 2 + (settings["kind"] != ["a"])}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_optuna_goes_on_from_the_trials_that_ended_before(tmp_path):
    files, space = TrialFiles(Folder(str(tmp_path / "trials")), {}), {"x": Range(0, 10), "kind": Values((["a"], "b"))}
    run, never = Folder(str(tmp_path)), threading.Event()
    first = sweep(Sweep(parabola, files, Optuna(space, 3), goal=Goal("loss")), run, stopping=never)
    more = Sweep(parabola, files, Optuna(space, 8), goal=Goal("loss"))
    told = search(more.trials, more.goal, first)._ot_study.trials
    assert [told_one.value for told_one in told] == [result.metrics["loss"] for result in first]
    assert [told_one.params["x"] for told_one in told] == [result.trial.settings["x"] for result in first]
    results = sweep(more, run, stopping=never)
    assert len({str(result.trial) for result in results}) == 8  # its first proposals aren't made again
    assert all(result in results for result in first)


def ends(folder: Path) -> dict[str, tuple]:
    """What a sweep left, but for times."""
    read = {path.name: json.loads(path.read_text()) for path in sorted((folder / "trials").glob("*.json"))}
    return {name: tuple(str(end[key]) for key in ("trial", "status", "metrics", "curve")) for name, end in read.items()}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_after_ten_kills_a_sweep_ends_with_the_undisturbed_files_and_no_trial_ran_again(tmp_path):
    run_here(trial, TRIALS, sweep_driver.plan(tmp_path / "calm").files)
    rng, kills, disturbed = np.random.default_rng(7), Counter(), tmp_path / "disturbed"
    disturbed.mkdir()
    log = disturbed / "log"
    log.touch()
    driver = start(disturbed)
    try:
        for victim in rng.permutation(["driver", "worker"] * 5):
            seen = len(log.read_text().splitlines())
            wait_for(lambda seen=seen: len(log.read_text().splitlines()) > seen, driver)
            time.sleep(rng.uniform(0.0, 1.2))
            if victim == "driver":
                driver.kill()
                driver.wait()
                driver = start(disturbed)
            else:
                with suppress(ProcessLookupError):
                    os.kill(int(log.read_text().splitlines()[-1].split()[1]), signal.SIGKILL)
            kills[victim] += 1
        assert driver.wait(timeout=300) == 0
    finally:
        driver.kill()
    assert kills == {"driver": 5, "worker": 5}
    assert ends(disturbed) == ends(tmp_path / "calm")
    assert len(ends(disturbed)) == 24
    assert "AGAIN" not in log.read_text()
    assert not list((disturbed / "tune").rglob("*.pkl"))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_sweep_that_is_asked_to_stop_ends_with_its_status_and_goes_on_later(tmp_path, number, status):
    (tmp_path / "log").touch()
    driver = start(tmp_path)
    try:
        wait_for(lambda: len(list((tmp_path / "trials").glob("*.json"))) >= 2, driver)
        driver.send_signal(number)
        assert driver.wait(timeout=60) == status
        done = ends(tmp_path)
        assert 2 <= len(done) < 24
        driver = start(tmp_path)
        assert driver.wait(timeout=200) == 0
    finally:
        driver.kill()
    assert len(ends(tmp_path)) == 24
    assert "AGAIN" not in (tmp_path / "log").read_text()


def start(root: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "tests.run.sweep_driver", str(root)], cwd=ROOT, env=environment)


def wait_for(happens, driver: subprocess.Popen) -> None:
    for _ in range(1200):
        if happens():
            return
        assert driver.poll() is None, "the driver ended too early"
        time.sleep(0.1)
    pytest.fail("nothing happened")
