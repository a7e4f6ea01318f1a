"""The command that runs any job by its name, and what a wheel of it installs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from jobs.__main__ import JOBS

ROOT = Path(__file__).parents[2]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "jobs", *words], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_without_a_name_it_says_which_there_are() -> None:
    wrong, asked = run("scor-corpus"), run("--help")
    assert (wrong.returncode, wrong.stdout, asked.returncode, asked.stderr) == (2, "", 0, "")
    assert wrong.stderr == f"{asked.stdout}error: no job 'scor-corpus'; did you mean 'score_corpus'?\n"
    for name in JOBS:
        assert f"\n  {name} " in asked.stdout


def test_a_reader_that_has_seen_enough_of_the_jobs_ends_it_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    found = subprocess.run(
        [sys.executable, "-m", "jobs", "--help"], stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=120
    )
    os.close(write)
    assert found.stderr == ""


def test_every_job_has_a_name() -> None:
    jobs = [path.stem for path in (ROOT / "jobs").glob("*.py") if "\ndef main(" in path.read_text(encoding="utf-8")]
    assert {*jobs, "benchmark"} - {"__main__"} == set(JOBS)


def test_a_job_is_run_on_the_words_behind_its_name(tmp_path: Path) -> None:
    found = run("show-run", "--run", str(tmp_path / "nowhere"))
    assert (found.returncode, found.stderr[:7]) == (1, "error: ")
    assert "raypipe show_run" in run("show_run", "--help").stdout


@pytest.mark.slow
def test_a_wheel_installs_one_name_and_its_jobs_run_from_it(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(source)], check=True)
    subprocess.run([*build, str(source)], check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        packed.extractall(tmp_path / "installed")
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"raypipe"}
    assert {"raypipe/jobs/recipes/demo.yaml", "raypipe/jobs/benchmark/gpu/command.py"} <= set(names)
    assert any(name.endswith("entry_points.txt") for name in names)
    command = [sys.executable, "-c", "from raypipe.jobs.__main__ import main; main()", "show_run", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "installed", timeout=120)
    assert "raypipe show_run" in shown.stdout
