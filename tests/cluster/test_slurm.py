"""cluster/slurm.sh under a real Slurm: started, ended, out of time, back in the queue, cancelled."""

import time
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from jobs.benchmark.chaos_inputs import DOCUMENTS_A_SHARD, make_inputs, size_of_shard
from tests.cluster.hosts import CPUS, SHARED, require
from tests.cluster.slurm import NODES, TOOLS, Slurm, slurm
from tests.cluster.test_on_prem import await_
from tests.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
SHARDS = 320


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    require(*TOOLS)
    with slurm(tmp_path_factory.mktemp("slurm"), ROOT) as made:
        make_inputs(made.shared, shards=SHARDS, seed=0)
        yield made


def sbatch(cluster: Slurm, *job: str, time_limit: str = "60") -> str:
    """Give the script to Slurm as it is but for the processors of the nodes; the job's number."""
    given = [f"--cpus-per-task={CPUS}", f"--output={SHARED}/slurm-%j.out", f"--time={time_limit}", "--parsable"]
    return cluster.run("sbatch", *given, "cluster/slurm.sh", *job).stdout.strip()


def score(cluster: Slurm, run: str) -> list[str]:
    """The scoring job, with more workers than one node holds."""
    size = size_of_shard(cluster.shared / "corpus")
    return [
        "jobs.score_corpus", f"--corpus={SHARED}/corpus", f"--model={SHARED}/model", f"--heads={SHARED}/heads.json",
        f"--output={SHARED}/{run}", f"--shard-bytes={size}", "--max-tokens=64", "--token-budget=256",
        f"--cpus-per-worker={0.4 * CPUS}", "--allow-weak-heads", "--min-workers=3", "--max-workers=3",
    ]  # fmt: skip


def files(cluster: Slurm, run: str) -> dict[str, float]:
    """Name -> time of each committed shard."""
    return {path.name: path.stat().st_mtime for path in (cluster.shared / run / "scores").glob("*.parquet")}


def begun(cluster: Slurm, run: str, job: str, *, beyond: int = 0) -> None:
    """Wait until a job has scored some of its shards, or some more."""
    wanted = beyond + SHARDS // 16
    await_(
        lambda: len(files(cluster, run)) >= wanted or cluster.state(job) not in ("PENDING", "RUNNING"),
        seconds=400, what="shards",
    )  # fmt: skip
    assert cluster.state(job) == "RUNNING", cluster.said(job)


def ended(cluster: Slurm, job: str, *, seconds: float = 400) -> str:
    """Wait for a job's end, and for that of everything on its nodes; its state."""
    busy = ("PENDING", "RUNNING", "COMPLETING")
    await_(lambda: cluster.state(job) not in busy, seconds=seconds, what="the job")
    await_(lambda: not cluster.left(), seconds=60, what="the end of all processes")
    return cluster.state(job)


def at_work(cluster: Slurm, word: str) -> list[str]:
    return [name for name in NODES if any(word in line for line in cluster.hosts[name].processes())]


def signal_workers(cluster: Slurm, signal: str) -> None:
    for name in NODES:
        cluster.hosts[name].run(["pkill", f"-{signal}", "-f", "^ray::MapWorker"], check=False)


def test_wrong_settings_end_the_job_with_their_status(cluster: Slurm) -> None:
    job = sbatch(cluster, "jobs.score_corpus", "--corpus=/nowhere", f"--output={SHARED}/none")
    assert ended(cluster, job) == "FAILED"
    assert "ExitCode=2:0" in cluster.run("scontrol", "show", "job", job).stdout
    assert "/nowhere" in cluster.said(job)


def test_a_run_on_two_nodes_goes_on_after_the_time_limit_and_after_being_cancelled(cluster: Slurm) -> None:
    job = sbatch(cluster, *score(cluster, "run"))
    begun(cluster, "run", job)
    assert at_work(cluster, "ray::MapWorker") == [*NODES]

    signal_workers(cluster, "STOP")  # they hold their shards until the signal has come
    time.sleep(1)
    held = files(cluster, "run")
    cluster.end_soon(job)
    await_(lambda: "shards in flight get" in cluster.said(job), seconds=120, what="the signal")
    signal_workers(cluster, "CONT")
    await_(lambda: cluster.state(job) == "PENDING", seconds=120, what="the queue")
    committed = files(cluster, "run")
    assert len(held) < len(committed) <= len(held) + 2 * 3  # a worker's own shard, and one that was read for it

    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=60", "StartTime=now")
    begun(cluster, "run", job, beyond=len(committed))
    cluster.run("scancel", job)  # everything gets SIGTERM at once: shards in flight are lost, and only they
    assert ended(cluster, job) == "CANCELLED"
    committed |= files(cluster, "run")

    job = sbatch(cluster, *score(cluster, "run"))
    begun(cluster, "run", job, beyond=len(committed))
    cluster.run("scancel", "--batch", "--signal=TERM", job)  # the script alone: what is in flight is committed
    assert ended(cluster, job) == "FAILED"
    assert "ExitCode=143:0" in cluster.run("scontrol", "show", "job", job).stdout
    assert "go on with the same command" in cluster.said(job)
    committed |= files(cluster, "run")

    job = sbatch(cluster, *score(cluster, "run"))
    assert ended(cluster, job) == "COMPLETED", cluster.said(job)
    after = files(cluster, "run")
    assert {name: after[name] for name in committed} == committed  # none was done again
    n_rows = DOCUMENTS_A_SHARD * SHARDS
    assert f"{n_rows:,} rows: {n_rows:,} scored, 0 skipped" in cluster.said(job)
    texts = pq.read_table(cluster.shared / "run" / "scores", columns=["text_hash"])["text_hash"]
    assert len(texts) == len(texts.unique()) == n_rows
