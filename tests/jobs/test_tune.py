"""The tune job, in this process and without Ray: a tiny finetune, its space, its best recipe."""

import json
import math
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ray import cloudpickle

from jobs import finetune
from jobs.parts import settings, tune_run, tune_trial
from jobs.parts.tune_plan import plan_search
from jobs.tune import Config, main
from raypipe.runs.space import parse_space
from raypipe.runs.trials import Trial, TrialFiles, run_trial
from raypipe.settings.nested import changed
from raypipe.storage.folder import Folder
from tests.jobs.searching import write_model, write_rows, write_settings


def rate_of(config):
    return config.training.optimiser.learning_rate


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def search(tmp_path, model):
    """Settings of a grid of two learning rates, and a way to write other files."""
    write_rows(tmp_path)
    write_settings(tmp_path, base={}, model=model)
    write_settings(tmp_path, space={"learning_rate": [1.0e-5, 5.0e-3]})
    return Config(
        job="finetune", config=str(tmp_path / "base.yaml"), space=str(tmp_path / "space.yaml"), search="grid",
        on="here", output=str(tmp_path / "run"),
    )  # fmt: skip


def ended(search):
    return [
        json.loads(path.read_text()) for path in sorted(Path(search.output).glob("trials/" + "[0-9a-f]" * 16 + ".json"))
    ]


def test_a_search_ends_with_a_recipe_that_the_job_accepts(search, tmp_path, capsys):
    assert main(search) == 0
    trials = {trial["trial"]["settings"]["learning_rate"]: trial for trial in ended(search)}
    assert {trial["status"] for trial in trials.values()} == {"finished"}
    assert trials[5.0e-3]["metrics"]["heldout_loss"] < trials[1.0e-5]["metrics"]["heldout_loss"]
    assert [point["step"] for point in trials[5.0e-3]["curve"]] == [2, 4]
    assert trials[5.0e-3]["curve"][-1]["heldout_loss"] == trials[5.0e-3]["metrics"]["heldout_loss"]
    recipe = settings.parse(finetune.Config, ["--config", f"{search.output}/best.yaml", "--output", "elsewhere"])
    base = settings.parse(finetune.Config, ["--config", search.config, "--output", "elsewhere"])
    assert recipe == changed(base, learning_rate=5.0e-3)
    assert "Best settings: " in capsys.readouterr().out
    card = json.loads((tmp_path / "run/trials/card.json").read_text())
    assert (card["status"], card["counts"]) == ("finished", {"finished": 2, "stopped": 0, "failed": 0})


def test_a_finished_search_stands_and_a_larger_grid_runs_only_what_is_new(search, tmp_path, monkeypatch):
    assert main(search) == 0
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run/trials").glob("*/run/run.json")}
    write_settings(tmp_path, space={"learning_rate": [1.0e-5, 5.0e-3, 1.0e-3]})
    ran, run = [], tune_trial._run
    monkeypatch.setattr(tune_trial, "_run", lambda job, config: ran.append(rate_of(config)) or run(job, config))
    assert main(search) == 0
    assert ran == [1.0e-3]
    assert len(before) <= len(ended(search)) == 3


def test_other_settings_of_the_job_are_refused_and_restart_runs_all_again(search, tmp_path, monkeypatch):
    monkeypatch.setattr(tune_trial, "_run", lambda *_: 0)
    monkeypatch.setattr(tune_trial, "metrics_of", lambda stage: {"heldout_loss": 1.0})
    assert main(search) == 0
    write_settings(tmp_path, base={"steps": 6})
    with pytest.raises(ValueError, match=r"steps was 4 and is now 6.*--name NEW.*--restart trials"):
        main(search)
    assert len(ended(search)) == 2
    assert main(replace(search, restart="trials", yes=True)) == 0
    assert {trial["identity"]["steps"] for trial in ended(search)} == {6}


def test_what_mattered_is_measured_over_the_trials_and_shown(search, tmp_path, monkeypatch, capsys):
    """The loss is that of the learning rate, and hardly anything else; what has one value explains nothing."""

    def loss_of(self, given, seed, folder):
        loss = abs(math.log10(given["learning_rate"]) + 3) + 0.01 * given["weight_decay"]
        return {"loss": loss, "heldout_loss": loss}

    monkeypatch.setattr(tune_trial.JobTrial, "__call__", loss_of)
    rates = [1.0e-5, 1.0e-4, 1.0e-3, 1.0e-2]
    write_settings(tmp_path, space={"weight_decay": [0.0, 0.5], "learning_rate": rates, "lora_rank": [4]})
    assert main(search) == 0
    shares = json.loads((tmp_path / "run/trials/search.json").read_text())["importance"]
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"] > 0.95
    assert sum(shares.values()) == pytest.approx(1)
    assert shares.get("lora_rank", 0.0) == 0
    assert "What the metric's variance comes from: learning_rate " in capsys.readouterr().out
    page = (tmp_path / "run/report.html").read_text()
    assert "<bdi>running</bdi>" not in page  # not written too early
    shown = page[page.index("Which settings mattered") :]
    assert shown.index("learning_rate") < shown.index("weight_decay")


def test_one_failed_trial_keeps_its_error_and_all_failed_is_status_1(search, monkeypatch, capsys):
    def fails(job, config):
        if rate_of(config) > 1e-3 or everything:
            raise ValueError("the loss isn't finite")
        return 0

    monkeypatch.setattr(tune_trial, "_run", fails)
    monkeypatch.setattr(tune_trial, "metrics_of", lambda stage: {"heldout_loss": 2.0})
    everything = False
    assert main(search) == 0
    assert "failed: learning_rate 0.005, seed 0: ValueError: the loss isn't finite" in capsys.readouterr().err
    everything = True
    assert main(replace(search, name="b")) == 1
    assert "none of 2 trials finished" in capsys.readouterr().err
    assert not Folder(search.output).exists("trials-b/best.yaml")
    everything = False
    assert main(replace(search, name="b", retry="failed")) == 0


def test_a_metric_that_no_trial_reports_is_an_error_and_nothing_is_lost(search, monkeypatch, capsys):
    assert main(replace(search, metric="heldout_loss/law")) == 1
    said = capsys.readouterr().err
    assert re.search(r"must give the metric 'heldout_loss/law', it gave heldout_loss, .*loss", said)
    assert len(list(Path(search.output).glob("trials/*/run/finetune/model/model.safetensors"))) == 2
    monkeypatch.setattr(tune_trial, "_run", lambda *_: 0)  # what was trained is there
    assert main(replace(search, retry="failed")) == 0


def test_a_stopped_trial_ends_the_search_and_the_same_command_goes_on(search, monkeypatch, capsys):
    run, calls = tune_trial._run, []

    def stopped_once(job, config):
        calls.append(rate_of(config))
        return 143 if len(calls) == 2 else run(job, config)

    monkeypatch.setattr(tune_trial, "_run", stopped_once)
    assert main(search) == 143
    assert len(ended(search)) == 1
    assert json.loads((Path(search.output) / "run.json").read_text())["status"] == "incomplete"
    assert main(search) == 0
    assert calls == [1.0e-5, 5.0e-3, 5.0e-3]


def test_a_trial_in_a_thread_that_its_scheduler_stops_leaves_no_lock_and_goes_on_later(search, tmp_path):
    """As Tune does it: trials run beside the main thread, and a report doesn't return where one is stopped."""
    plan = plan_search(search, parse_space({"learning_rate": [5.0e-3]}))
    files, trial = TrialFiles(Folder(str(tmp_path / "trials")), plan.trial_identity), Trial({"learning_rate": 5.0e-3})
    function = cloudpickle.loads(cloudpickle.dumps(plan.trial()))
    seen = []

    def stop(step, metrics):
        seen.append((step, sorted(metrics)))
        sys.exit(0)

    def run():
        with pytest.raises(SystemExit):
            run_trial(function, trial, files, on_report=stop)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(2, ["heldout_loss", "heldout_loss/all"])]
    assert files.read(trial) is None
    result = run_trial(function, trial, files)
    assert (result.status, result.steps) == ("finished", 4)


@pytest.mark.parametrize(
    ("space", "more", "words"),
    [
        ({}, {}, "a space must map settings"),
        ({"learning_rat": [1.0]}, {}, "no setting 'learning_rat' to search over; the nearest is 'learning_rate'"),
        ({"output": ["a"]}, {}, "the space can't have 'output'"),
        ({"learning_rate": ["1e-4"]}, {}, "learning_rate must be a number, the space has '1e-4'; YAML reads"),
        ({"lora_rank": [4, 2.5]}, {}, "lora_rank must be a whole number, the space has 2.5"),
        ({"learn": ["answer"]}, {}, "answers, class, number, choices, embedding, the space has 'answer'"),
        ({"learn": {"low": 1, "high": 2}}, {}, "learn takes no numbers"),
        ({"lora_rank": {"low": 1, "high": 8.5}}, {}, "lora_rank takes whole numbers"),
        ({"beta2": [0.9, 1.0]}, {}, r"beta2 1.0 is refused: beta2 must be in \[0, 1\)"),
        ({"warmup_fraction": {"low": 0.0, "high": 1.5}}, {}, r"1.5 is refused: warmup_fraction must be in \[0, 1\]"),
        ({"lora_rank": {"low": -1, "high": 8}}, {}, "-1 is refused: lora_rank must be at least 0"),
        ({"batch_examples": [4, 6]}, {}, "6 is refused: a step's 6 sequences must be a multiple"),
        ({"lora_alpha": [8.0]}, {}, "--lora-alpha has no effect without --lora-rank"),
        ({"lora_rank": [4]}, {"metric": "heldout_los"}, "got 'heldout_los'; the nearest is 'heldout_loss'"),
        ({"lora_rank": [4]}, {"metric": "accuracy"}, "metric must be one that the trials give, got 'accuracy'"),
        ({"lora_rank": [4]}, {"trials": 3}, "--trials has no effect with --search grid"),
        ({"lora_rank": [4]}, {"reduction": 4}, "--reduction has no effect without --scheduler asha"),
        ({"lora_rank": [4]}, {"scheduler": "asha"}, "--on here runs listed trials to their end"),
        ({"lora_rank": [4]}, {"scheduler": "asha", "on": "tune", "metric": "loss"}, "ASHA goes by heldout_loss"),
        ({"lora_rank": [4]}, {"scheduler": "asha", "on": "tune", "first_steps": 4}, "below the last step .4., got 4"),
    ],
)
def test_what_can_not_be_searched_is_refused_before_anything_is_written(
    search, tmp_path, monkeypatch, space, more, words
):
    write_settings(tmp_path, space=space)
    monkeypatch.setattr(tune_run, "run_trials", lambda *_: pytest.fail("began"))
    with pytest.raises(ValueError, match=words):
        main(replace(search, **more))
    assert not (tmp_path / "run").exists()
