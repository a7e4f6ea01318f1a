"""The manifests for KubeRay: what they promise, and every field of them against the operator's own schemas."""

import gzip
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from tests.conftest import ROOT

SCHEMAS = ROOT.parent / "shared/data/kuberay_crd"
MANIFESTS = {"kuberay-cluster.yaml": "ray.io_rayclusters", "kuberay-job.yaml": "ray.io_rayjobs"}
TYPES = {
    "": {"apiVersion": str, "kind": str, "metadata": dict, "spec": dict},
    "spec of a job": {
        "entrypoint": str, "submissionMode": str, "backoffLimit": int, "shutdownAfterJobFinishes": bool,
        "ttlSecondsAfterFinished": int, "rayClusterSpec": dict,
    },
    "spec of a cluster": {
        "rayVersion": str, "authOptions": dict, "enableInTreeAutoscaling": bool, "autoscalerOptions": dict,
        "headGroupSpec": dict, "workerGroupSpecs": list,
    },
    "authOptions": {"mode": str},
    "autoscalerOptions": {"version": str, "idleTimeoutSeconds": int},
    "group": {
        "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int, "rayStartParams": dict,
        "template": dict,
    },
    "pod": {
        "restartPolicy": str, "containers": list, "volumes": list, "tolerations": list,
        "terminationGracePeriodSeconds": int,
    },
    "container": {"name": str, "image": str, "resources": dict, "volumeMounts": list},
    "resources": {"requests": dict, "limits": dict},
    "volumeMount": {"name": str, "mountPath": str},
    "toleration": {"key": str, "operator": str, "value": str, "effect": str},
}  # fmt: skip
"""Field -> type for the fields that we use, as of the 1.7 line of the operator."""


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster" / name).read_text())


def cluster_of(name: str) -> dict[str, Any]:
    spec = read(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(name: str) -> list[dict[str, Any]]:
    """Head first."""
    spec = cluster_of(name)
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def parts(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a manifest beside its row of TYPES."""
    whole, spec = read(name), cluster_of(name)
    yield "", whole
    if "rayClusterSpec" in whole["spec"]:
        yield "spec of a job", whole["spec"]
    yield "spec of a cluster", spec
    yield "authOptions", spec["authOptions"]
    yield "autoscalerOptions", spec["autoscalerOptions"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        yield "group", group
    for pod in pods(name):
        yield "pod", pod
        for toleration in pod.get("tolerations", []):
            yield "toleration", toleration
        for container in pod["containers"]:
            yield "container", container
            yield "resources", container["resources"]
            for mount in container["volumeMounts"]:
                yield "volumeMount", mount


def strict(schema: Any) -> Any:
    """A schema that takes no field it doesn't name."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
    return found


def wrong_fields(name: str, manifest: dict[str, Any]) -> list[str]:
    file = SCHEMAS / f"{MANIFESTS[name]}.yaml.gz"
    versions = yaml.load(gzip.decompress(file.read_bytes()), yaml.CSafeLoader)["spec"]["versions"]
    schema = next(each for each in versions if each["name"] == "v1")["schema"]["openAPIV3Schema"]
    spec = strict(schema["properties"]["spec"])  # what lies beside it, every API server knows
    return [error.message for error in jsonschema.Draft202012Validator(spec).iter_errors(manifest["spec"])]


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_field_is_one_that_the_operator_knows(name: str) -> None:
    if not SCHEMAS.exists():
        pytest.skip("the operator's schemas aren't here")
    manifest = read(name)
    assert wrong_fields(name, manifest) == []
    spec = manifest["spec"].get("rayClusterSpec", manifest["spec"])
    spec["headGroupSpec"]["template"]["spec"]["toleration"] = []
    assert any("'toleration' was unexpected" in why for why in wrong_fields(name, manifest))


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_field_has_the_name_and_type_that_are_written_down_here(name: str) -> None:
    for what, part in parts(name):
        assert {key: type(value) for key, value in part.items()}.items() <= TYPES[what].items(), what


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_are_made_for_long_runs_on_machines_that_come_and_go(name: str) -> None:
    spec, (head, *workers) = cluster_of(name), pods(name)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"]
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert {pod["restartPolicy"] for pod in (head, *workers)} == {"Never"}  # as that version demands
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert not head.get("tolerations")  # a head on a spot machine would take the run with it
    for pod in workers:
        keys = {toleration["key"] for toleration in pod["tolerations"]}
        assert keys >= {"nvidia.com/gpu", "cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"}
        assert pod["terminationGracePeriodSeconds"] > 60
    for pod in (head, *workers):
        (container,) = pod["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted == {"runs": "/mnt/raypipe", "shm": "/dev/shm"}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["shm"]["emptyDir"] == {"medium": "Memory"}
        assert volumes["runs"]["persistentVolumeClaim"] == {"claimName": "raypipe-runs"}


def test_both_manifests_make_the_same_cluster_but_for_its_size() -> None:
    one, other = (cluster_of(name) for name in MANIFESTS)
    for spec in (one, other):
        for group in spec["workerGroupSpecs"]:
            for size in ("replicas", "minReplicas", "maxReplicas"):
                del group[size]
    assert one == other
