"""kill -9 of a search and of an ablation, driver, Ray and all: the same command goes on, and nothing is run again."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch

from jobs.parts import settings
from tests.jobs.ablation import write_scored_run
from tests.jobs.searching import write_model, write_rows, write_settings

from ..conftest import ROOT

N_TRIALS = 6
CPUS = max(1, (os.cpu_count() or 1) // 2)
"""Of a trial: two run at a time, so that the others are still to come when the first two have ended."""
TIMES = ("seconds", "ended", "date")
"""Keys of records that no two runs have alike."""


@dataclass(frozen=True)
class Swept:
    """A job that sweeps, as a command."""

    job: str
    words: list[str]
    stage: str
    """Where its trials are."""
    results: tuple[str, ...]
    """What it ends with, in the run folder."""
    prepare: Callable[[Path], object] = lambda run: None
    """Makes what must be in the run folder before."""

    def here(self, run: Path) -> int:
        """Run it in this process, one trial after the other."""
        module = importlib.import_module(f"jobs.{self.job}")
        return int(module.main(settings.parse(module.Config, [*self.words, "--output", str(run), "--on", "here"])))

    def start(self, run: Path) -> subprocess.Popen:
        """Run it as a user does, in a session of its own."""
        command = [sys.executable, "-m", f"jobs.{self.job}", *self.words, "--output", str(run)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
        environment.pop("RAY_ADDRESS", None)
        return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)


@pytest.fixture(params=["tune", "ablate"])
def swept(request, tmp_path, tokenizer):
    torch.set_num_threads(1)
    if request.param == "ablate":
        words = ["--tokenizer", tokenizer, "--length", "32", "--batch-tokens", "128", "--steps", "2", "--selectors",
                 "longest", "--seeds", "2", "--holdout", "0.2", "--min-domain-rows", "10", "--heldout-every", "1",
                 "--cpus-per-worker", str(CPUS)]  # fmt: skip
        return Swept("ablate", words, "ablation", ("ablation/ablation.json",), lambda run: written(run, tokenizer))
    write_rows(tmp_path)
    rates = [10.0**-power for power in range(1, N_TRIALS + 1)]
    write_settings(tmp_path, base={"cpus_per_worker": CPUS}, model=write_model(tmp_path / "model"))
    write_settings(tmp_path, space={"learning_rate": rates})
    words = ["--job", "finetune", "--config", str(tmp_path / "base.yaml"), "--space", str(tmp_path / "space.yaml"),
             "--search", "grid"]  # fmt: skip
    return Swept("tune", words, "trials", ("best.yaml", "trials/search.json"))


def written(run, tokenizer):
    return write_scored_run(run, tokenizer)


def ended(trials: Path) -> list[Path]:
    return sorted(trials.glob("[0-9a-f]" * 16 + ".json"))


def kill_whole(driver: subprocess.Popen) -> None:
    """The driver's group and all that has come of it: Ray's processes, and the workers that train."""
    if driver.poll() is not None:
        return
    family = psutil.Process(driver.pid).children(recursive=True)
    os.killpg(driver.pid, signal.SIGKILL)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    driver.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(of) for key, of in value.items() if key not in TIMES}
    return [without_times(of) for of in value] if isinstance(value, list) else value


def left_by(swept: Swept, run: Path) -> dict[str, object]:
    """Everything that a sweep ends with, but for times: trials, models, best settings, record."""
    paths = [*ended(run / swept.stage), *(run / name for name in swept.results)]
    texts = {str(path.relative_to(run)): path.read_text() for path in paths}
    read = {name: without_times(json.loads(text)) if name.endswith(".json") else text for name, text in texts.items()}
    models = sorted((run / swept.stage).glob("*/run/*/model/model.safetensors"))
    return {**read, **{str(path.relative_to(run)): path.read_bytes() for path in models}}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_sweep_killed_as_a_whole_ends_with_the_undisturbed_files_and_runs_nothing_again(swept, tmp_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    for run in (calm, killed):
        swept.prepare(run)
    assert swept.here(calm) == 0
    driver = swept.start(killed)
    try:
        while len(ended(killed / swept.stage)) < 2:
            assert driver.poll() is None, "it ended too early"
            time.sleep(0.05)
    finally:
        kill_whole(driver)
    done = ended(killed / swept.stage)
    assert 2 <= len(done) < N_TRIALS
    before = {path: path.stat().st_mtime_ns
              for one in done for path in (one, *one.with_suffix("").rglob("*")) if path.is_file()}  # fmt: skip
    again = swept.start(killed)
    assert again.wait(timeout=600) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(ended(killed / swept.stage)) == N_TRIALS
    assert left_by(swept, killed) == left_by(swept, calm)
    assert sum(name.endswith("model.safetensors") for name in left_by(swept, killed)) == N_TRIALS
    assert not list(killed.rglob("*.pkl"))
