"""Drivers in processes of their own: killed, asked to stop, on S3, on three nodes. The same command goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from raypipe.corpus.rows import text_hash
from raypipe.runs.lock import LOCK
from raypipe.storage.folder import Folder

from ..conftest import ROOT
from .fake_op import score
from .stages import assert_scored, fault, stamps, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a driver with a Ray of its own, in a process group of its own, and ends what is left of it."""
    started: list[subprocess.Popen] = []

    def begin(*arguments: object, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "tests.run.driver", *map(str, arguments)]
        given = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), **environment}
        settings = {**{k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}, **given}
        with (tmp_path / f"driver-{len(started)}.log").open("wb") as log:
            started.append(
                subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log, start_new_session=True)
            )
        return started[-1]

    yield begin
    for driver in started:
        if driver.poll() is None:
            driver.kill()


def wait_for_files(run: Path, n: int, driver: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while len(list((run / "scores").glob("*.parquet"))) < n:
        assert driver.poll() is None, "the driver ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def logs(root: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(root.glob("driver-*.log")))


@pytest.mark.slow
def test_a_killed_driver_is_gone_on_with_by_the_same_command(tmp_path: Path, start: Start) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=6)
    driver = start(tmp_path, 0.5)
    wait_for_files(tmp_path / "run", 3, driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = stamps(tmp_path)
    assert len(before) < 18
    assert (tmp_path / "run" / LOCK).exists()  # of a dead owner
    assert start(tmp_path).wait(timeout=200) == 0, logs(tmp_path)
    assert_scored(tmp_path, texts)
    # a worker may outlive its driver for a moment and put its file again, with the same bytes
    assert len(before.items() - stamps(tmp_path).items()) <= 2


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_driver_that_is_asked_to_stop_commits_what_is_in_flight(
    tmp_path: Path, start: Start, number: int, code: int
) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=6)
    driver = start(tmp_path, 0.5)
    wait_for_files(tmp_path / "run", 2, driver)
    # Ctrl-C reaches the whole group of a terminal, and Ray's processes leave it alone; SIGTERM ends them, and a driver
    # whose raylet is gone first ends at once, so a stop is for the driver
    (os.killpg if number == signal.SIGINT else os.kill)(driver.pid, number)
    assert driver.wait(timeout=100) == code, logs(tmp_path)
    assert "stopped with" in logs(tmp_path)
    before = stamps(tmp_path)
    assert 2 <= len(before) < 18
    assert not (tmp_path / "run" / LOCK).exists()
    assert start(tmp_path).wait(timeout=200) == 0, logs(tmp_path)
    assert_scored(tmp_path, texts)
    assert before.items() <= stamps(tmp_path).items()


@pytest.mark.slow
def test_a_second_driver_is_refused(tmp_path: Path, start: Start) -> None:
    write_corpus(tmp_path / "corpus", n_files=6)
    first = start(tmp_path, 1.0)
    wait_for_files(tmp_path / "run", 1, first)
    assert start(tmp_path).wait(timeout=100) == 1
    assert "is being written by process" in (tmp_path / "driver-1.log").read_text()
    assert first.poll() is None


@pytest.mark.slow
def test_a_whole_stage_from_s3_to_s3(tmp_path: Path, start: Start, s3_bucket: str) -> None:
    texts = write_corpus(tmp_path / "corpus")
    for path in (tmp_path / "corpus").iterdir():
        Folder(f"{s3_bucket}/corpus").write(path.name, path.read_bytes())
    access = {"AWS_ACCESS_KEY_ID": "planted-id", "AWS_SECRET_ACCESS_KEY": "planted-secret"}
    driver = start(s3_bucket, 0.2, **access)
    run = Folder(f"{s3_bucket}/run")
    deadline = time.monotonic() + 120
    while not [entry for entry in (run / "scores").files() if entry.path.endswith(".parquet")]:
        assert time.monotonic() < deadline, logs(tmp_path)
        time.sleep(0.2)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert start(s3_bucket, **access).wait(timeout=200) == 0, logs(tmp_path)
    names = [entry.path for entry in (run / "scores").files()]
    assert [name for name in names if not name.endswith(".parquet")] == ["card.json", "inputs.arrow"]
    files = [name for name in names if name.endswith(".parquet")]
    table = pa.concat_tables(
        [pq.read_table((run / "scores").open(name)).replace_schema_metadata(None) for name in files]
    )
    assert table["score"].to_pylist() == [score(text_hash(text.encode())) for text in texts]
    assert not run.exists(LOCK)
    written = [run.read(entry.path) for entry in run.files(recursive=True)] + [logs(tmp_path).encode()]
    assert len(written) > 10
    assert not any(b"planted" in content for content in written)


@pytest.mark.slow
def test_a_store_that_is_down_for_a_while_costs_time_only(tmp_path: Path, start: Start) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    store = pafs.S3FileSystem(
        endpoint_override=f"{host}:{port}", scheme="http", access_key="testing", secret_key="testing",
        region="us-east-1", allow_bucket_creation=True,
    )  # fmt: skip
    store.create_dir("bucket")
    texts = write_corpus(tmp_path / "corpus", n_files=6)
    for path in (tmp_path / "corpus").iterdir():
        with store.open_output_stream(f"bucket/corpus/{path.name}") as stream:
            stream.write(path.read_bytes())
    driver = start("s3://bucket", 0.3, **access)

    def committed() -> list[str]:
        found = store.get_file_info(pafs.FileSelector("bucket/run/scores", allow_not_found=True))
        return sorted(info.path for info in found if info.path.endswith(".parquet"))

    deadline = time.monotonic() + 120
    while not committed():
        assert time.monotonic() < deadline, logs(tmp_path)
        time.sleep(0.2)
    server.stop()
    time.sleep(8)
    assert driver.poll() is None, logs(tmp_path)
    again = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)  # moto's data outlive its server
    again.start()
    assert driver.wait(timeout=200) == 0, logs(tmp_path)
    table = pa.concat_tables(
        [pq.read_table(path, filesystem=store).replace_schema_metadata(None) for path in committed()]
    )
    assert table["score"].to_pylist() == [score(text_hash(text.encode())) for text in texts]
    again.stop()


CLUSTER = """
import json, os, sys, time
import psutil, ray
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2

PREEMPTION = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")

def raylet_of(node):
    return node.all_processes["raylet"][0].process

def busy_workers(node):
    found = psutil.Process(raylet_of(node).pid).children()
    return sum(process.status() != psutil.STATUS_ZOMBIE and "MapWorker" in process.name() for process in found)

def announce(node):  # what a cloud does before it takes a spot instance away
    gcs = ray._raylet.GcsClient(address=cluster.address)
    accepted, why = gcs.drain_node(node.node_id, PREEMPTION, "spot", int(time.time() * 1000) + 600_000)
    assert accepted, why

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
pair = [cluster.add_node(num_cpus=2) for _ in range(2)]
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.add_node(num_cpus=2)
second, first = sorted(pair, key=busy_workers)
announce(first)
print("announced", flush=True)
sys.stdin.readline()
raylet_of(second).kill()
for node in (first, second):
    cluster.remove_node(node, allow_graceful=False)
cluster.add_node(num_cpus=2)
print("killed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nodes_of_a_cluster_that_are_taken_away_with_and_without_notice_cost_no_row(
    tmp_path: Path, start: Start
) -> None:
    import tempfile

    texts = write_corpus(tmp_path / "corpus", n_files=8)
    with tempfile.TemporaryDirectory(prefix="ray-") as home:  # sockets want a short path
        environment = {**os.environ, "RAY_TMPDIR": home, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
        cluster = subprocess.Popen(
            [sys.executable, "-c", CLUSTER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

        def told(n_files: int) -> str:
            """What the cluster says to the next fault, once so many files are there."""
            wait_for_files(tmp_path / "run", n_files, driver)
            cluster.stdin.write("\n")
            cluster.stdin.flush()
            return cluster.stdout.readline().strip()

        try:
            address = cluster.stdout.readline().strip()
            driver = start(tmp_path, 0.5, RAY_ADDRESS=address, RAY_TMPDIR=home)
            assert told(2) == "announced"
            assert told(9) == "killed"
            assert driver.wait(timeout=240) == 0, logs(tmp_path)
        finally:
            cluster.communicate("\n\n", timeout=60)
    assert_scored(tmp_path, texts)
    assert "about to be taken away" in logs(tmp_path)
    assert list((tmp_path / "run").rglob("*nonce*")) == []


@pytest.mark.slow
def test_a_worker_that_hangs_does_not_keep_a_driver_beyond_the_grace(tmp_path: Path, start: Start) -> None:
    texts = write_corpus(tmp_path / "corpus", n_files=3)
    once = fault(tmp_path, "stop-write")
    driver = start(tmp_path, 0.1, once, 3)
    while (Path(once) / "stop-write").exists():
        assert driver.poll() is None, logs(tmp_path)
        time.sleep(0.1)
    os.kill(driver.pid, signal.SIGTERM)
    assert driver.wait(timeout=60) == 143, logs(tmp_path)
    assert start(tmp_path).wait(timeout=200) == 0, logs(tmp_path)
    assert_scored(tmp_path, texts)
    assert json.loads((tmp_path / "run/scores/card.json").read_text())["status"] == "finished"
