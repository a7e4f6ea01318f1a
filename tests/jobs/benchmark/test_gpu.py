"""The GPU benchmark runs to its last line with next to nothing installed, and no step's end is another's."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs.benchmark.gpu.command import GROUPS
from jobs.benchmark.gpu.show import table
from jobs.benchmark.gpu.supervise import run_group
from jobs.benchmark.gpu.waiting import covered
from tests.jobs.benchmark import only_torch

ROOT = Path(__file__).resolve().parents[3]
STEPS = "tests.jobs.benchmark.steps_of_all_kinds"


def command(tmp_path, *words):
    shutil.copy(only_torch.__file__, tmp_path / "sitecustomize.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    return [sys.executable, "-m", "jobs.benchmark", "gpu", *words], environment


def run_steps(tmp_path, limits, *, seconds=60.0):
    ends_at = time.monotonic() + seconds
    return dict(run_group("group", STEPS, limits, tmp_path, ends_at=ends_at, rehearse=True))


@pytest.mark.slow
def test_every_module_is_imported_with_these_alone(tmp_path):
    _, environment = command(tmp_path)
    modules = ["command", "steps", *sorted({module for module, _ in GROUPS.values()})]
    code = "; ".join(f"import jobs.benchmark.gpu.{module}" for module in modules)
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_step_is_done_with_torch_transformers_safetensors_numpy_and_pyarrow_alone(tmp_path):
    words, environment = command(tmp_path, "--json", str(tmp_path / "gpu.json"), "--rehearse")
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert result["rehearsed"]
    assert result["not_done"] == {}
    assert {"card", "versions", "date", "commit"} <= result.keys()
    found = {group: [*steps] for group, steps in result["parts"].items()}
    expected = {group: [step for step in limits if step != "machine"] for group, (_, limits) in GROUPS.items()}
    assert found == expected
    for group in ("scoring-1.3b", "scoring-135m"):
        assert all(0 <= figures["waiting"] <= 1 for figures in result["parts"][group].values())
        assert result["parts"][group]["plain"]["padding"] > 0
        assert result["parts"][group]["single"]["padding"] == 0
        assert max(figures["loss_differs"] for figures in result["parts"][group].values()) < 0.05
        assert result["parts"][group]["raypipe"]["passes"] < 2


@pytest.mark.parametrize("module", ["rich", "ray", "tyro", "pydantic", "tokenizers", "yaml"])
def test_the_hiding_hides(tmp_path, module):
    _, environment = command(tmp_path)
    words = f"import types; exec('import {module}', {{'__name__': 'raypipe.anything'}})"
    done = subprocess.run([sys.executable, "-c", words], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr or "must do without" in done.stderr


def test_a_step_that_raises_dies_or_never_ends_costs_only_itself(tmp_path):
    outcomes = run_steps(tmp_path, {"fine": 30.0, "raises": 30.0, "dies": 30.0, "endless": 1.0, "last": 30.0})
    assert list(outcomes) == ["fine", "raises", "dies", "endless", "last"]
    assert "illegal memory access" in outcomes["raises"].trouble
    assert "status -6" in outcomes["dies"].trouble
    assert outcomes["endless"].trouble == "cut: its 1 s were over"
    assert outcomes["fine"].trouble is outcomes["last"].trouble is None
    assert outcomes["last"].found["rehearse"] is True
    assert not psutil.pid_exists(outcomes["last"].found["pid"])


def test_steps_share_a_process_while_all_goes_well(tmp_path):
    outcomes = run_steps(tmp_path, {"fine": 30.0, "last": 30.0})
    assert outcomes["fine"].found["pid"] == outcomes["last"].found["pid"]


def test_a_group_that_cannot_even_be_loaded_is_not_tried_step_by_step(tmp_path):
    ends_at, limits = time.monotonic() + 60.0, {"fine": 30.0, "last": 30.0}
    outcomes = dict(run_group("group", "tests.no_such_module", limits, tmp_path, ends_at=ends_at, rehearse=True))
    assert len({outcome.trouble for outcome in outcomes.values()}) == 1
    assert "No module named 'tests.no_such_module'" in outcomes["last"].trouble
    assert len(list(tmp_path.glob("*.txt"))) == 1


def test_what_has_no_time_left_is_cut_and_said_to_be(tmp_path):
    outcomes = run_steps(tmp_path, {"fine": 30.0, "last": 30.0}, seconds=1.0)
    assert {outcome.trouble for outcome in outcomes.values()} == {"cut: no time was left"}


def test_ended_by_sigterm_it_leaves_no_process_behind(tmp_path):
    words, environment = command(tmp_path, "--json", str(tmp_path / "gpu.json"), "--rehearse")
    process = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()  # the first step is done: its process is at the next one
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    process.stdout.close()
    assert below
    assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_supervisor_takes_its_steps_with_it(tmp_path):
    words, environment = command(tmp_path, "--json", str(tmp_path / "gpu.json"), "--rehearse")
    process = subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    process.stdout.close()
    assert below
    psutil.wait_procs(below, timeout=30)
    assert not [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_the_time_that_kernels_cover_counts_overlaps_once():
    assert covered([(0, 2), (1, 3), (6, 8), (6.5, 7)]) == pytest.approx(5 / 8)
    with pytest.raises(ValueError, match="at least one kernel"):
        covered([])


def test_the_table_says_what_is_missing_and_why():
    result = {"date": "d", "commit": "c", "parts": {}, "not_done": {"losses float8": "cut: its 40 s were over"}}
    assert "NOT DONE losses float8: cut: its 40 s were over" in table(result)
