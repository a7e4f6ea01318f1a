"""Hosts under Ray from cluster/on-prem.yaml: brought up, given jobs from one outside, robbed of hosts, ended."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from jobs.benchmark.chaos_inputs import contents, differences, make_inputs, size_of_shard
from raypipe.run.metrics import SERIES
from tests.cluster.hosts import CPUS, SHARED, Host, hosts, require
from tests.conftest import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
HEAD, WORKERS, LAPTOP = "head", ("worker1", "worker2", "worker3"), "laptop"
SHARDS = 240
NOTICE_S = 20
"""Between the word that a host is going to be taken away and its end."""


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
        return ["python", "-m", "jobs.submit", self.address, *job]

    def nodes(self) -> dict[str, str]:
        """Address -> id of the machines that are alive."""
        asked = "import json, ray; ray.init(log_to_driver=False); print(json.dumps(ray.nodes()))"
        done = self.hosts[HEAD].run(["python", "-c", asked], RAY_AUTH_MODE="token", RAY_ADDRESS="auto")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        return {node["NodeManagerAddress"]: node["NodeID"] for node in found if node["Alive"]}

    def at_work(self) -> list[Host]:
        """The hosts beside the head on which a worker of the job is running."""
        alive = [self.hosts[name] for name in WORKERS if self.hosts[name].is_alive]
        return [host for host in alive if any(line.startswith("ray::MapWorker") for line in host.processes())]

    def n_scored(self, run: str) -> int:
        """Shards that are committed."""
        return len(list((self.shared / run / "scores").glob("*.parquet")))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four hosts under Ray and one that isn't, from the file as it is but for addresses and user."""
    require()
    folder = tmp_path_factory.mktemp("hosts")
    with hosts([HEAD, *WORKERS, LAPTOP], folder) as made:
        found = Cluster(made, folder / "shared")
        make_inputs(found.shared, shards=SHARDS, seed=0)
        fill_in(found.shared / "on-prem.yaml", made[HEAD].address, *(made[name].address for name in WORKERS))
        laptop = made[LAPTOP]
        laptop.run(["ray", "get-auth-token", "--generate"], RAY_AUTH_MODE="token")
        laptop.run(["ray", "up", "-y", "--no-config-cache", f"{SHARED}/on-prem.yaml"], timeout_s=180)
        await_(lambda: len(found.nodes()) == 1 + len(WORKERS), seconds=180, what="the machines")
        yield found


def fill_in(path: Path, head: str, *workers: str, **settings: Any) -> None:
    """Write cluster/on-prem.yaml with these addresses."""
    config = yaml.safe_load((ROOT / "cluster/on-prem.yaml").read_text())
    config["provider"] |= {"head_ip": head, "worker_ips": [*workers]}
    config["auth"]["ssh_user"] = "root"
    config |= {"min_workers": len(workers), "max_workers": len(workers), **settings}
    path.write_text(yaml.safe_dump(config))


def await_(holds: Callable[[], Any], *, seconds: float, what: str) -> None:
    """Look until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)


def score(cluster: Cluster, run: str) -> list[str]:
    """Submit the scoring job: with three workers, so that no host holds them all beside a reader."""
    size = size_of_shard(cluster.shared / "corpus")
    return cluster.submit(
        "score_corpus", f"--corpus={SHARED}/corpus", f"--model={SHARED}/model", f"--heads={SHARED}/heads.json",
        f"--output={SHARED}/{run}", f"--shard-bytes={size}", "--max-tokens=64", "--token-budget=256",
        f"--cpus-per-worker={0.3 * CPUS}", "--allow-weak-heads", "--min-workers=2", "--max-workers=3",
    )  # fmt: skip


@pytest.fixture(scope="module")
def calm(cluster: Cluster, watched: None) -> dict[str, Any]:
    """The files of a job that was left alone."""
    started = time.monotonic()
    done = cluster.hosts[LAPTOP].run(score(cluster, "calm"), timeout_s=300)
    print(f"left alone: {time.monotonic() - started:.0f} s")
    assert "2,880 rows: 2,880 scored, 0 skipped" in done.stdout
    assert re.search(r"scores: 2 to 3 workers of \S+ CPUs; room for \d on 10\.77\.0\.\d, ", done.stdout)
    return contents(cluster.shared / "calm")


@pytest.fixture(scope="module")
def watched(cluster: Cluster) -> Iterator[None]:
    """A Prometheus on the head."""
    require("prometheus")
    words = ["prometheus", f"--config.file={ROOT}/cluster/prometheus.yaml", "--storage.tsdb.path=/tmp/prometheus"]
    head = cluster.hosts[HEAD]
    server = subprocess.Popen(
        head.command([*words, "--web.listen-address=127.0.0.1:9090"]),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield
    head.run(["pkill", "-x", "prometheus"], check=False)
    server.wait(timeout=30)


def drawn(cluster: Cluster, expression: str) -> list[set[str]]:
    """The values that each line of a panel has had."""
    words = {"query": expression.replace("$run", ".*"), "start": time.time() - 900, "end": time.time(), "step": 5}
    url = f"http://127.0.0.1:9090/api/v1/query_range?{urlencode(words)}"
    asked = f"import urllib.request; print(urllib.request.urlopen({url!r}).read().decode())"
    found = json.loads(cluster.hosts[HEAD].run(["python", "-c", asked]).stdout)
    assert found["status"] == "success", found
    return [{value for _, value in line["values"]} for line in found["data"]["result"]]


def test_every_panel_of_the_dashboard_moves_while_a_job_runs(
    cluster: Cluster, watched: None, calm: dict[str, Any]
) -> None:
    panels = json.loads((ROOT / "cluster/grafana.json").read_text())["panels"]
    lines = {target["expr"]: drawn(cluster, target["expr"]) for panel in panels for target in panel["targets"]}
    of_scoring = {name for name in SERIES if not name.startswith(("raypipe_training", "raypipe_trials"))}
    for expression, found in lines.items():
        if any(f"{name}{{" in expression for name in of_scoring):
            assert len(found) == 1, expression  # this run, this stage
    assert [expression for expression in lines if "shards_waiting" in expression] != []
    for name in ("documents", "tokens", "shards_done", "shards_waiting"):
        expression = next(each for each in lines if f"(ray_raypipe_{name}{{" in each)
        assert len(lines[expression][0]) > 1, expression


def test_the_same_command_again_finds_nothing_left_to_do(cluster: Cluster, calm: dict[str, Any]) -> None:
    written = {path: path.stat().st_mtime for path in (cluster.shared / "calm" / "scores").iterdir()}
    done = cluster.hosts[LAPTOP].run(score(cluster, "calm"), timeout_s=300)
    assert "2,880 rows: 2,880 scored, 0 skipped" in done.stdout
    assert {path: path.stat().st_mtime for path in written} == written


def test_gpus_that_the_cluster_lacks_are_said_before_anything_runs(cluster: Cluster) -> None:
    done = cluster.hosts[LAPTOP].run([*score(cluster, "gpus"), "--gpus-per-worker=1"], check=False)
    assert done.returncode == 2  # the job's own status
    assert "gpus_per_worker 1, and 0.5 CPUs for a reader, must fit on the machines of the cluster" in done.stdout
    assert not (cluster.shared / "gpus" / "scores").exists()


@contextmanager
def submitted(cluster: Cluster, run: str) -> Iterator[subprocess.Popen]:
    """A scoring job that has begun to write; its end is waited for."""
    words = ["bash", "-c", 'cd "$0" && exec "$@"', str(ROOT), *score(cluster, run)]
    with subprocess.Popen(
        cluster.hosts[LAPTOP].command(words),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as job:  # fmt: skip
        try:
            await_(lambda: cluster.n_scored(run) >= SHARDS // 10 or job.poll() is not None, seconds=180, what="shards")
            assert job.poll() is None, job.stdout.read()
            yield job
        finally:
            job.kill()


def longest_rest(cluster: Cluster, run: str, job: subprocess.Popen) -> float:
    """Seconds of the longest time without a new file, until the job ends."""
    longest, n, since = 0.0, cluster.n_scored(run), time.monotonic()
    while job.poll() is None:
        time.sleep(0.1)
        if (now := cluster.n_scored(run)) != n:
            n, since = now, time.monotonic()
        elif n < SHARDS:
            longest = max(longest, time.monotonic() - since)
    return longest


def switch_off(cluster: Cluster, victim: Host) -> None:
    """Its processes end; its kernel still answers for them."""
    victim.kill()


def cut_off(cluster: Cluster, victim: Host) -> None:
    """Nothing comes from it any more, not even that it is gone."""
    victim.cut_off()
    victim.kill()


def drain(cluster: Cluster, victim: Host) -> None:
    """It is taken away after a notice, as a spot machine is."""
    notice = [
        "ray", "drain-node", f"--node-id={cluster.nodes()[victim.address]}", "--reason=DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message=spot", f"--deadline-remaining-seconds={NOTICE_S}",
    ]  # fmt: skip
    cluster.hosts[HEAD].run(notice, RAY_AUTH_MODE="token", RAY_ADDRESS=f"{cluster.hosts[HEAD].address}:6379")
    time.sleep(NOTICE_S)
    victim.kill()


@pytest.mark.parametrize("rob", [switch_off, cut_off, drain])
def test_a_job_that_loses_a_host_ends_with_the_bytes_of_one_that_was_left_alone(
    cluster: Cluster, calm: dict[str, Any], rob: Callable[[Cluster, Host], None]
) -> None:
    run, started = f"after-{rob.__name__}", time.monotonic()
    with submitted(cluster, run) as job:
        victim = cluster.at_work()[0]
        rob(cluster, victim)
        if rob is not drain:
            assert cluster.n_scored(run) < SHARDS  # it was in mid-job
        rest = longest_rest(cluster, run, job)
        said = job.stdout.read()
        print(f"{rob.__name__}: {time.monotonic() - started:.0f} s, {rest:.0f} s of them without a new file")
    assert job.returncode == 0, said
    assert differences(calm, contents(cluster.shared / run)) == []


@pytest.mark.parametrize("token", [None, "0" * 64])
def test_whoever_has_no_token_or_a_wrong_one_is_refused(cluster: Cluster, token: str | None) -> None:
    laptop = cluster.hosts[LAPTOP]
    environment = (
        {"RAY_AUTH_MODE": "disabled"} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    )
    started = time.monotonic()
    done = laptop.run(cluster.submit("show_run", "--run=/nowhere"), check=False, **environment)
    print(f"token {token}: refused after {time.monotonic() - started:.0f} s")
    assert done.returncode != 0
    assert f"{cluster.address} refuses us" in done.stderr
    joined = f"import ray; ray.init(address='{cluster.hosts[HEAD].address}:6379')"
    assert laptop.run(["python", "-c", joined], check=False, **environment).returncode != 0


def test_a_head_whose_port_is_taken_is_said_and_nothing_is_left_running(cluster: Cluster) -> None:
    laptop = cluster.hosts[LAPTOP]
    fill_in(cluster.shared / "other.yaml", laptop.address, cluster_name="other")
    squatter = subprocess.Popen(laptop.command(["python", "-m", "http.server", "6379"]), stderr=subprocess.DEVNULL)
    try:
        await_(lambda: any("http.server" in line for line in laptop.processes()), seconds=20, what="the squatter")
        done = laptop.run(["ray", "up", "-y", "--no-config-cache", f"{SHARED}/other.yaml"], check=False)
        assert done.returncode != 0
        assert "6379" in done.stdout + done.stderr
        # ssh keeps its connection for ten seconds
        await_(lambda: all("http.server" in line for line in laptop.processes()), seconds=30, what="an empty machine")
    finally:
        laptop.run(["pkill", "-f", "http.server"], check=False)
        squatter.wait(timeout=20)


def test_ray_down_ends_ray_on_all_machines(cluster: Cluster) -> None:
    cluster.hosts[LAPTOP].run(["ray", "down", "-y", f"{SHARED}/on-prem.yaml"], timeout_s=120)
    cluster.hosts[HEAD].run(["pkill", "-x", "prometheus"], check=False)
    alive = [host for host in cluster.hosts.values() if host.is_alive]
    # the head's end at once; workers, whom nobody tells, when they have missed it for a minute
    await_(lambda: not any(has_ray(host) for host in alive), seconds=150, what="the end of Ray on all machines")
    assert cluster.hosts[HEAD].processes() == []


def has_ray(host: Host) -> bool:
    """Whether a node of Ray runs there; its log monitor and its agents outlive it, and do nothing any more."""
    return any("/raylet " in line or "gcs_server" in line for line in host.processes())
