"""A cluster of three hosts from cluster/on-prem.yaml: brought up, given jobs from a fourth, robbed of a host, ended."""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from jobs.benchmark.chaos_inputs import contents, differences, make_inputs, size_of_shard
from tests.cluster.hosts import SHARED, Host, hosts, missing_tools
from tests.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
HEAD, WORKERS, LAPTOP = "head", ("worker1", "worker2"), "laptop"
SHARDS = 240


@dataclass
class Cluster:
    """What the tests act on."""

    hosts: dict[str, Host]
    shared: Path
    """The folder that the hosts see as SHARED."""

    @property
    def address(self) -> str:
        """Where jobs are submitted."""
        return f"http://{self.hosts[HEAD].address}:8265"

    def submit(self, *job: str) -> list[str]:
        """The command that submits a job from a clone."""
        return ["ray", "job", "submit", f"--address={self.address}", "--working-dir=.", "--", "python", "-m", *job]

    def nodes(self) -> list[str]:
        """Addresses of the machines that are alive."""
        asked = "import json, ray; ray.init(log_to_driver=False); print(json.dumps(ray.nodes()))"
        done = self.hosts[HEAD].run(["python", "-c", asked], RAY_AUTH_MODE="token", RAY_ADDRESS="auto")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return sorted(node["NodeManagerAddress"] for node in found if node["Alive"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three hosts under Ray and a fourth that isn't, from the file as it is but for addresses and key."""
    if lacking := missing_tools():
        pytest.skip(f"making hosts needs {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("hosts")
    with hosts([HEAD, *WORKERS, LAPTOP], folder) as made:
        shared = folder / "shared"
        make_inputs(shared, shards=SHARDS, seed=0)
        _fill_in(shared / "on-prem.yaml", made)
        laptop = made[LAPTOP]
        laptop.run(["ray", "get-auth-token", "--generate"], RAY_AUTH_MODE="token")
        laptop.run(["ray", "up", "-y", "--no-config-cache", f"{SHARED}/on-prem.yaml"], timeout_s=180)
        found = Cluster(made, shared)
        _await(lambda: len(found.nodes()) == 3, seconds=180, what="three machines")
        yield found


def _fill_in(path: Path, made: dict[str, Host]) -> None:
    config = yaml.safe_load((ROOT / "cluster/on-prem.yaml").read_text())
    config["provider"] |= {"head_ip": made[HEAD].address, "worker_ips": [made[name].address for name in WORKERS]}
    config["auth"]["ssh_user"] = "root"
    path.write_text(yaml.safe_dump(config))


def _await(holds, *, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(1)


def _score(cluster: Cluster, run: str) -> list[str]:
    size = size_of_shard(cluster.shared / "corpus")
    return cluster.submit(
        "jobs.score_corpus", f"--corpus={SHARED}/corpus", f"--model={SHARED}/model", f"--heads={SHARED}/heads.json",
        f"--output={SHARED}/{run}", f"--shard-bytes={size}", "--max-tokens=64", "--token-budget=256",
        "--cpus-per-worker=1", "--allow-weak-heads", "--min-workers=2", "--max-workers=2",
    )  # fmt: skip


def _n_scored(cluster: Cluster, run: str) -> int:
    return len(list((cluster.shared / run / "scores").glob("*.parquet")))


def test_a_job_that_loses_a_host_ends_with_the_bytes_of_one_that_was_left_alone(cluster: Cluster) -> None:
    laptop = cluster.hosts[LAPTOP]
    laptop.run(_score(cluster, "calm"), timeout_s=240, RAY_AUTH_MODE="token")
    with subprocess.Popen(
        laptop.command(["bash", "-c", 'cd "$0" && exec "$@"', str(ROOT), *_score(cluster, "robbed")], RAY_AUTH_MODE="token"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as job:  # fmt: skip
        _await(lambda: _n_scored(cluster, "robbed") >= SHARDS // 8 or job.poll() is not None, seconds=180, what="shards")
        assert job.poll() is None, job.stdout.read()
        victim = cluster.hosts[WORKERS[1]]
        victim.cut_off()
        victim.kill()
        n_then = _n_scored(cluster, "robbed")
        said, _ = job.communicate(timeout=300)
    assert job.returncode == 0, said
    assert n_then < SHARDS  # it was in mid-job
    assert differences(contents(cluster.shared / "calm"), contents(cluster.shared / "robbed")) == []


@pytest.mark.parametrize("token", [None, "0" * 64])
def test_whoever_has_no_token_or_a_wrong_one_is_refused(cluster: Cluster, token: str | None) -> None:
    laptop = cluster.hosts[LAPTOP]
    environment = {"RAY_AUTH_MODE": "disabled"} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    done = laptop.run(cluster.submit("jobs.show_run", "--run=/nowhere"), check=False, **environment)
    assert done.returncode != 0
    assert "401" in done.stderr + done.stdout or "uthentication" in done.stderr + done.stdout
    joined = "import ray; ray.init(address='%s:6379')" % cluster.hosts[HEAD].address
    assert laptop.run(["python", "-c", joined], check=False, **environment).returncode != 0


def test_ray_down_leaves_no_process(cluster: Cluster) -> None:
    cluster.hosts[LAPTOP].run(["ray", "down", "-y", f"{SHARED}/on-prem.yaml"], timeout_s=120)
    left = {name: host.processes() for name, host in cluster.hosts.items() if host.process.poll() is None}
    assert left == {HEAD: [], WORKERS[0]: [], LAPTOP: []}
