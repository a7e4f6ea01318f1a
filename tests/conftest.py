import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
os.environ["RAY_AUTH_MODE"] = "disabled"  # before anything imports Ray, which looks but once
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other core is the other worker's
hypothesis.settings.register_profile("untimed", deadline=None)  # an example takes long where the machine is busy
hypothesis.settings.load_profile("untimed")


OF_RAY = ("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
"""What Ray says of its own parts and of the processes that it leaves, where it is started; elsewhere an error."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever asks for the shared Ray is marked `ray`, so that the rest can run on all cores; what is long is slow."""
    for item in items:
        if "ray_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ray)
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("ray") or item.get_closest_marker("slow"):
            for ignored in OF_RAY:
                item.add_marker(pytest.mark.filterwarnings(ignored))


@pytest.fixture(autouse=True)
def _only_marked_tests_start_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a quick test that starts Ray in this process and isn't marked so."""
    yield
    ray = sys.modules.get("ray")
    marks = {mark.name for mark in request.node.iter_markers()}
    if not marks & {"ray", "slow"} and ray is not None and ray.is_initialized():
        ray.shutdown()
        pytest.fail("this test starts Ray: mark it `ray`.")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray for all tests that don't break it: six logical CPUs, a small store, workers that can import tests."""
    import ray

    os.environ.pop("RAY_ADDRESS", None)
    os.environ["PYTHONPATH"] = str(ROOT)  # inherited by workers
    ray.shutdown()  # a job's main, called in this process, may have left its own
    ray.init("local", num_cpus=6, object_store_memory=150 << 20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server of this machine, its data in memory."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_environment(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables through which every part finds that server; set for this test."""
    settings = {
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture
def s3_bucket(s3_environment: dict[str, str]) -> str:
    """The URI of a fresh bucket."""
    import boto3

    name = f"bucket-{secrets.token_hex(6)}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
