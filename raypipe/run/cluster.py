"""The Ray cluster that a job runs on: found or started, and asked what it has."""

import logging
import os
import secrets
from dataclasses import dataclass
from functools import cached_property

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.run.op import Pool
from raypipe.run.pipeline import READER_CPUS
from raypipe.storage import Folder

MIN_LOGICAL_CPUS = 4  # on a machine of two cores a worker and its readers must still fit side by side
OBJECT_STORE_BYTES = 1 << 30


@dataclass(frozen=True)
class Resources:
    """What the cluster has in all."""

    cpus: float
    gpus: float
    n_nodes: int


def connect() -> Resources:
    """Join the cluster of $RAY_ADDRESS, or start one on this machine for as long as the job lasts."""
    # readers and workers must not fight for cores with threads of their own
    environment = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if not ray.is_initialized():
        os.environ.setdefault("RAY_AUTH_MODE", "disabled" if "RAY_ADDRESS" not in os.environ else "token")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # a worker that dies is our business, not a page of C++
        local = {} if "RAY_ADDRESS" in os.environ else _local()
        ray.init(log_to_driver=False, logging_level=logging.WARNING, runtime_env={"env_vars": environment}, **local)
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    found = ray.cluster_resources()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    return Resources(found.get("CPU", 0.0), found.get("GPU", 0.0), len(nodes))


def _local() -> dict:
    store = min(OBJECT_STORE_BYTES, psutil.virtual_memory().available // 8)
    return {
        "num_cpus": max(MIN_LOGICAL_CPUS, os.cpu_count() or 1),
        "object_store_memory": store,
        "include_dashboard": False,
    }


@dataclass(frozen=True)
class Wanted:
    """The workers that a job asks for; the cluster is joined when `pool` is first looked at."""

    min_workers: int = 1
    max_workers: int | None = None
    """None: as many as the cluster's GPUs, or 1 on CPUs."""
    gpus_per_worker: float | None = None
    """None: 1 where the cluster has GPUs, else 0."""
    cpus_per_worker: float | None = None
    """None: 1 beside a GPU, else this machine's cores."""

    @cached_property
    def pool(self) -> Pool:
        """The workers that fit on the cluster."""
        return self.fit(connect())

    def fit(self, resources: Resources) -> Pool:
        """The workers that fit on these resources, with room for the readers.

        Raises
        ------
        ValueError
            If the smallest pool doesn't.
        """
        gpus = self.gpus_per_worker if self.gpus_per_worker is not None else float(resources.gpus > 0)
        cpus = self.cpus_per_worker or (1.0 if gpus else float(psutil.cpu_count(logical=True) or 1))
        if self.min_workers * gpus > resources.gpus:
            raise ValueError(
                f"gpus_per_worker {gpus:g} x min_workers {self.min_workers} must fit on the {resources.gpus:g} GPUs of "
                "the cluster; lower one of them, or give --gpus-per-worker 0 to run on CPUs."
            )
        if self.min_workers * cpus + READER_CPUS > resources.cpus:
            raise ValueError(
                f"cpus_per_worker {cpus:g} x min_workers {self.min_workers} and {READER_CPUS:g} for a reader must fit "
                f"on the {resources.cpus:g} CPUs of the cluster; lower one of them."
            )
        most = self.max_workers or max(self.min_workers, int(resources.gpus / gpus) if gpus else 1)
        room = int((resources.cpus - READER_CPUS) / cpus)
        return Pool(self.min_workers, max(self.min_workers, min(most, room)), num_gpus=gpus, num_cpus=cpus)


def check_seen_by_all(folder: Folder) -> None:
    """Check that every node sees the folder: a nonce written here is read there.

    Raises
    ------
    ValueError
        If a node can't, with its address.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not folder.is_local or len(nodes) < 2:
        return
    name, nonce = f"nonce-{secrets.token_hex(4)}", secrets.token_hex(16).encode()
    folder.write(name, nonce)
    try:
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            if ray.get(_sees.options(scheduling_strategy=there).remote(folder, name, nonce), timeout=60) is not True:
                raise ValueError(
                    f"{folder.uri} must be one folder that all nodes share, but node {node['NodeManagerAddress']} "
                    "doesn't see what was written to it here; give a shared path or an object store's URI."
                )
    finally:
        folder.delete(name)


@ray.remote(num_cpus=0)
def _sees(folder: Folder, name: str, nonce: bytes) -> bool:
    try:
        return folder.read(name) == nonce
    except OSError:
        return False
