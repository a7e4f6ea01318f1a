"""What is refused before a job is sent to a cluster, and before it runs there."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from jobs import submit
from jobs.parts.on_cluster import missing
from tests.conftest import ROOT


@pytest.fixture
def dashboard() -> Iterator[tuple[str, dict]]:
    """The address of a server that gives the answer it is told to: status and body."""
    answer = {"status": 200, "body": {"version": "4", "ray_version": "2.1.0"}}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer["status"])
            self.end_headers()
            self.wfile.write(json.dumps(answer["body"]).encode())

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answer
    server.shutdown()
    server.server_close()


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs", "submit", *words], capture_output=True, text=True, cwd=ROOT, timeout=120
    )


def test_a_cluster_of_another_version_gets_nothing(dashboard: tuple[str, dict]) -> None:
    with pytest.raises(ValueError, match=r"the cluster runs Ray 2\.1\.0, this clone 2\.60\.0; install"):
        submit.reach(dashboard[0])


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_said_with_where_to_put_one(dashboard: tuple[str, dict], status: int) -> None:
    address, answer = dashboard
    answer["status"] = status
    with pytest.raises(ValueError, match=r"refuses us: .* Put the cluster's token into ~/\.ray/auth_token"):
        submit.reach(address)


def test_a_host_that_nobody_reaches_is_said_at_once() -> None:
    with pytest.raises(OSError, match=r"http://127\.0\.0\.1:1 doesn't answer .*; see that the head is up"):
        submit.reach("http://127.0.0.1:1")
    with pytest.raises(
        ValueError, match=r"address must be that of a dashboard, like http://HEAD:8265, got 'head:8265'"
    ):
        submit.reach("head:8265")


def test_wrong_settings_end_the_command_before_anything_is_asked(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("corpuss: [sample]\n")
    done = run("http://127.0.0.1:1", "score_corpus", "--config", str(recipe))
    assert done.returncode == 2
    assert "there is no setting 'corpuss'; the nearest is 'corpus'" in done.stderr
    assert run("http://127.0.0.1:1", "benchmark").returncode == 2
    assert "job must be one of curate, " in run("http://127.0.0.1:1", "no_such_job").stderr


def test_a_clone_is_sent_without_its_tests_and_its_data_and_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = submit.clone()
    assert folder == ROOT
    assert {"jobs", "raypipe", "cluster"} <= {path.name for path in submit.sent(folder)}
    assert {"tests", "runs", ".git", ".venv"}.isdisjoint(path.name for path in submit.sent(folder))
    sources = [path for part in submit.sent(folder) for path in part.rglob("*") if path.suffix not in (".pyc", ".nbc")]
    monkeypatch.setattr(submit, "MAX_BYTES", sum(path.stat().st_size for path in sources if path.is_file()))
    assert submit.clone() == folder  # whatever Python and numba have compiled
    monkeypatch.setattr(submit, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match=r"MB beside data and runs, the largest file is .*; at most 20 MB are sent"):
        submit.clone()


def test_what_ray_packs_of_a_clone_runs_a_job(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    packed = tmp_path / "packed.zip"
    create_package(str(submit.clone()), packed, include_gitignore=True, excludes=submit.LEFT_OUT)
    assert packed.stat().st_size < submit.MAX_BYTES
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "sent")
    assert [name for name in names if name.startswith("tests/")] == []
    done = subprocess.run(
        [sys.executable, "-m", "jobs.parts.on_cluster", "show_run", "--run", "/nowhere"],
        capture_output=True, text=True, cwd=tmp_path / "sent", env={"HOME": str(tmp_path)}, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr[:7]) == (1, "error: ")


def test_packages_that_a_machine_lacks_are_named_with_what_it_has(tmp_path: Path) -> None:
    assert missing(ROOT / "pyproject.toml") == []
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\ndependencies = ["numpy>=1", "numpy<1", "no-such-thing>=3", "x; python_version < \'3\'"]'
    )
    absent, other = sorted(missing(project))[0], sorted(missing(project))[1]
    assert absent == "no-such-thing>=3"
    assert other.startswith("numpy<1 (it has ")


def test_a_job_does_not_start_where_a_package_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["no-such-thing>=3"]')
    done = subprocess.run(
        [sys.executable, "-m", "jobs.parts.on_cluster", "show_run", "--run", "x"],
        capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: the cluster's environment lacks no-such-thing>=3; install them on all")


def test_make_submit_gives_the_recipe_to_the_main_job() -> None:
    # a make that runs these tests would be announced by this one
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-n", "--assume-old=.venv/base", "submit", "ADDRESS=http://h:8265", "RECIPE=r.yaml"],
        capture_output=True, text=True, cwd=ROOT, check=True, env=alone,
    )  # fmt: skip
    assert done.stdout.strip() == ".venv/bin/python -m jobs.submit http://h:8265 curate --config r.yaml"
