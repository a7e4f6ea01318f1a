"""What is under cluster/: valid for Ray's own schema, of one version, and closed to whoever has no token."""

import copy
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

FOLDER = ROOT / "cluster"
RAY_UP = ["aws.yaml", "gcp.yaml", "on-prem-docker.yaml", "on-prem.yaml"]
KUBERAY = ["kuberay-cluster.yaml", "kuberay-job.yaml"]
BIN = Path(sys.executable).parent


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((FOLDER / name).read_text())


def test_every_file_is_tested_here() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(
        [*RAY_UP, *KUBERAY, "Dockerfile", "README.md", "grafana.json", "prometheus.yaml", "slurm.sh"]
    )


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_up_accepts_it(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(copy.deepcopy(read(name)))
    validate_config(config)
    assert not any("install" in command for command in config["setup_commands"])
    assert config["setup_commands"] == read(name)["setup_commands"]  # else Ray's default would install a nightly wheel


@pytest.mark.parametrize("name", RAY_UP)
def test_ray_up_rejects_a_misspelt_key(name: str) -> None:
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(ValidationError, match="idle_minutes"):
        validate_config(prepare_config({**read(name), "idle_minutes": 1}))


@pytest.mark.parametrize("name", RAY_UP)
def test_every_ray_start_demands_the_token(name: str) -> None:
    config = read(name)
    starts = [
        command
        for part in ("head", "worker")
        for command in config[f"{part}_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token ray start" in command for command in starts)
    # one's own machines have no public address, and take jobs from outside, with the token; clouds' heads have one
    shown_to = "0.0.0.0" if name == "on-prem.yaml" else "127.0.0.1"
    assert f"--dashboard-host={shown_to}" in starts[0]
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}


def wrong_for_ec2(node_config: dict[str, Any]) -> str:
    """What EC2's RunInstances would refuse, by the model of it that botocore has."""
    from botocore.session import get_session
    from botocore.validate import ParamValidator

    shape = get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    return ParamValidator().validate({**node_config, "MinCount": 1, "MaxCount": 1}, shape).generate_report()


def test_ec2_knows_every_field_of_the_nodes() -> None:
    nodes = [kind["node_config"] for kind in read("aws.yaml")["available_node_types"].values()]
    assert [wrong_for_ec2(node) for node in nodes] == ["", ""]
    misspelt = {"InstanceMarketOptions": {"Markettype": "spot"}, "InstanceType": 5}
    assert 'Unknown parameter in InstanceMarketOptions: "Markettype"' in wrong_for_ec2(misspelt)
    assert "Invalid type for parameter InstanceType" in wrong_for_ec2(misspelt)


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_gives_the_token_to_every_pod(name: str) -> None:
    resource = read(name)
    spec = resource["spec"].get("rayClusterSpec", resource["spec"])
    assert resource["apiVersion"] == "ray.io/v1"
    assert spec["authOptions"] == {"mode": "token"}
    # the operator and the submitting pod reach it from outside the head's pod; without the token they get nothing
    assert spec["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "0.0.0.0"
    for group in spec["workerGroupSpecs"]:
        assert 0 < group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_all_run_one_image_of_one_version() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    ray = re.search(r"ray\[[^]]*\]==([0-9.]+)", project)[1]
    ours = re.search(r'^version = "([0-9.]+)"', project, re.MULTILINE)[1]
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{ray}-" in dockerfile
    assert "--constraint constraints.txt" in dockerfile
    assert "RAY_AUTH_MODE=token" in dockerfile
    for name in RAY_UP:
        assert name == "on-prem.yaml" or read(name)["docker"]["image"] == f"raypipe:{ours}"
    for name in KUBERAY:
        text = (FOLDER / name).read_text()
        assert set(re.findall(r"image: (\S+)", text)) == {f"raypipe:{ours}"}
        assert set(re.findall(r"rayVersion: (\S+)", text)) == {ray}


def test_the_slurm_script_is_shell_and_makes_a_token_of_its_own() -> None:
    text = (FOLDER / "slurm.sh").read_text()
    subprocess.run(["bash", "-n", FOLDER / "slurm.sh"], check=True)
    assert text.index("export RAY_AUTH_MODE=token") < text.index("export RAY_AUTH_TOKEN\n") < text.index("ray start")
    assert os.access(FOLDER / "slurm.sh", os.X_OK)


def test_nothing_under_cluster_holds_a_secret_or_a_setting_of_a_method() -> None:
    text = "\n".join(path.read_text() for path in FOLDER.iterdir())
    assert re.findall(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY|learning.rate|--max-tokens", text) == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def closed_head() -> Iterator[tuple[str, str, Path]]:
    """Address and token of a head that was started with one, and a home folder without any."""
    port, client_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="ray-") as home:  # sockets want a short path
        token = "0123456789abcdef" * 4
        environment = {**os.environ, "HOME": home, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        environment.pop("RAY_ADDRESS", None)
        command = [
            BIN / "ray", "start", "--head", "--block", f"--port={port}", "--num-cpus=1", "--include-dashboard=false",
            "--node-ip-address=127.0.0.1", "--object-store-memory=100000000", f"--temp-dir={home}/t",
            f"--ray-client-server-port={client_port}", "--disable-usage-stats",
        ]  # fmt: skip
        with (Path(home) / "head.log").open("wb") as log:
            head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 120
            while "Ray runtime started" not in (Path(home) / "head.log").read_text():
                assert head.poll() is None, (Path(home) / "head.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.3)
            yield f"127.0.0.1:{port}", token, Path(home)
        finally:
            head.send_signal(signal.SIGTERM)
            head.wait(timeout=60)


JOIN = "from raypipe.run.cluster import connect; print('joined', len(connect().nodes))"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("given", ["none", "wrong", "disabled", "right"])
def test_only_a_driver_with_the_token_may_join(closed_head: tuple[str, str, Path], given: str) -> None:
    address, token, home = closed_head
    environment = {**os.environ, "HOME": str(home), "RAY_ADDRESS": address}
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        environment.pop(name, None)
    environment |= {
        "none": {},
        "wrong": {"RAY_AUTH_TOKEN": "f" * 64},
        "disabled": {"RAY_AUTH_MODE": "disabled"},
        "right": {"RAY_AUTH_TOKEN": token},
    }[given]
    tried = subprocess.run(
        [sys.executable, "-c", JOIN], env=environment, capture_output=True, text=True, timeout=120, cwd=ROOT
    )
    said = tried.stdout + tried.stderr
    if given == "right":
        assert tried.returncode == 0, said
        assert "joined 1" in said
    else:
        assert tried.returncode != 0
        assert "joined" not in tried.stdout
        assert re.search(r"[Aa]uthenticat|[Tt]oken", said), said
    assert token not in said


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_ray_of_a_jobs_own_is_closed_to_others_and_leaves_no_token(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment["HOME"] = str(tmp_path)
    code = f"{JOIN}; import ray; print(ray.get_runtime_context().gcs_address, flush=True); input()"
    job = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert job.stdout.readline() == "joined 1\n"
        address = job.stdout.readline().strip()
        stranger = subprocess.run(
            [sys.executable, "-c", JOIN],
            env={**environment, "RAY_ADDRESS": address, "RAY_AUTH_TOKEN": "f" * 64},
            capture_output=True, text=True, timeout=120, cwd=ROOT,
        )  # fmt: skip
    finally:
        job.communicate("\n", timeout=60)
    assert job.returncode == 0
    assert stranger.returncode != 0
    assert "token is missing or incorrect" in stranger.stderr
    assert not (tmp_path / ".ray/auth_token").exists()
