"""What cluster/slurm.sh makes of signals and statuses, under a real Slurm; Ray and the job are quick stand-ins."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster.hosts import CPUS, SHARED, require
from tests.cluster.slurm import TOOLS, Slurm, slurm
from tests.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
RAY = """#!/bin/bash
if [[ $1 == start ]]; then
    [[ -z $FAULT || $(hostname) != node2 ]] || { echo "no such port"; exit 1; }
    sleep 600
fi
"""
PYTHON = """#!/bin/bash
case $1 in
-c) echo token ;;
-) sleep 2 ;;
-m)
    echo "driver ${*:2} with $RAY_AUTH_TOKEN for $RAY_ADDRESS"
    trap 'sleep 1; echo committed; exit 143' TERM
    for ((n = 0; n < ${TENTHS:-900}; n++)); do sleep 0.1; done
    exit "$STATUS"
    ;;
esac
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    require(*TOOLS)
    with slurm(tmp_path_factory.mktemp("slurm"), ROOT) as made:
        for name, text in {"ray": RAY, "python": PYTHON}.items():
            file = made.shared / "bin" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        yield made


def sbatch(cluster: Slurm, **environment: str) -> str:
    """Give the script to Slurm; the job's number."""
    given = [f"PATH={SHARED}/bin:/usr/bin:/bin", *(f"{name}={value}" for name, value in environment.items())]
    options = [f"--cpus-per-task={CPUS}", f"--output={SHARED}/slurm-%j.out", "--time=60", "--parsable"]
    return cluster.run("env", *given, "sbatch", *options, "cluster/slurm.sh", "jobs.x", "--some=1").stdout.strip()


def await_state(cluster: Slurm, job: str, *wanted: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while cluster.state(job) not in wanted:
        assert time.monotonic() < end, (cluster.state(job), cluster.said(job))
        time.sleep(0.2)


def await_word(cluster: Slurm, job: str, word: str) -> None:
    end = time.monotonic() + 60
    while word not in cluster.said(job):
        assert time.monotonic() < end, cluster.said(job)
        time.sleep(0.2)


def shown(cluster: Slurm, job: str) -> str:
    return cluster.run("scontrol", "show", "job", job).stdout


def assert_nothing_is_left(cluster: Slurm) -> None:
    end = time.monotonic() + 40
    while cluster.left():
        assert time.monotonic() < end, cluster.left()
        time.sleep(0.2)


def test_the_jobs_status_is_the_drivers(cluster: Slurm) -> None:
    job = sbatch(cluster, STATUS="7", TENTHS="5")
    await_state(cluster, job, "FAILED", "COMPLETED")
    assert "ExitCode=7:0" in shown(cluster, job)
    assert "driver jobs.x --some=1 with token for 10.77.0.2:" in cluster.said(job)
    assert_nothing_is_left(cluster)


def test_a_node_where_ray_does_not_start_ends_the_job_before_the_driver(cluster: Slurm) -> None:
    job = sbatch(cluster, STATUS="0", FAULT="1")
    await_state(cluster, job, "FAILED", "COMPLETED")
    assert "ExitCode=1:0" in shown(cluster, job)
    assert "no such port" in cluster.said(job)
    assert "error: Ray didn't start on all machines of the job" in cluster.said(job)
    assert "driver" not in cluster.said(job)
    assert_nothing_is_left(cluster)


def test_before_the_time_is_up_the_driver_commits_and_the_job_is_queued_again(cluster: Slurm) -> None:
    job = sbatch(cluster, STATUS="0")
    await_word(cluster, job, "driver")
    cluster.end_soon(job)
    await_state(cluster, job, "PENDING")
    assert "Restarts=1" in shown(cluster, job)
    assert cluster.said(job).count("committed") == 1
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=60", "StartTime=now")
    await_state(cluster, job, "RUNNING")
    cluster.run("scancel", job)
    await_state(cluster, job, "CANCELLED")
    assert_nothing_is_left(cluster)


def test_term_for_the_script_alone_lets_the_driver_commit_and_queues_nothing(cluster: Slurm) -> None:
    job = sbatch(cluster, STATUS="0")
    await_word(cluster, job, "driver")
    cluster.run("scancel", "--batch", "--signal=TERM", job)
    await_state(cluster, job, "FAILED")
    assert "ExitCode=143:0" in shown(cluster, job)
    assert "Restarts=0" in shown(cluster, job)
    assert "committed" in cluster.said(job)
    assert_nothing_is_left(cluster)
