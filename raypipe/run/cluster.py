"""The Ray cluster that a job runs on: found or started, and asked what it has."""

import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from math import ceil
from typing import Any

import psutil

from raypipe.contracts.op import Pool
from raypipe.corpus import Shard
from raypipe.run import local
from raypipe.run.admission import check_admitted
from raypipe.run.local import READERS_BESIDE
from raypipe.runs.signals import kept_handlers
from raypipe.storage.folder import TEMPORARY, Folder
from raypipe.storage.uris import local_path

READER_CPUS = 0.5
"""What a reader reserves; unlike a worker's share, or Ray Data would fuse the two and nothing would run ahead."""
WORKERS_A_MACHINE = 8  # without GPUs: each has a copy of the model, and threads of one process wait for each other
ANSWER_S = 60.0
MAX_LOOKED_AT = 1000
MAX_NAMED = 8
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster has."""

    cpus: float
    gpus: float = 0.0
    memory: float = float("inf")
    """Bytes."""
    address: str = "this machine"

    def fits(self, *, cpus: float, gpus: float) -> int:
        """Workers of this size that it has room for."""
        by_gpu = int(self.gpus / gpus) if gpus else None
        by_cpu = int(self.cpus / cpus)
        return by_cpu if by_gpu is None else min(by_cpu, by_gpu)


@dataclass(frozen=True)
class Resources:
    """What the cluster has, machine by machine: a worker can't be spread over two."""

    nodes: tuple[Node, ...]

    @property
    def gpus(self) -> float:
        """In all."""
        return sum(node.gpus for node in self.nodes)

    def fits(self, *, cpus: float, gpus: float) -> int:
        """Workers of this size that fit, with room for a reader left on some machine."""
        free = [node.cpus - cpus * node.fits(cpus=cpus, gpus=gpus) for node in self.nodes]
        workers = sum(node.fits(cpus=cpus, gpus=gpus) for node in self.nodes)
        if max(free, default=0.0) >= READER_CPUS:
            return workers
        return max(0, workers - ceil(READER_CPUS / cpus))

    def __str__(self) -> str:
        return ", ".join(f"{node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in self.nodes)


def connect() -> Resources:
    """Join the cluster of $RAY_ADDRESS, or start one on this machine for as long as the job lasts.

    Raises
    ------
    OSError
        If that cluster doesn't answer, or refuses our token.
    """
    import ray

    # readers and workers must not fight for cores with threads of their own
    environment = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if not ray.is_initialized():
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # a worker that dies is our business, not a page of C++
        started = {} if "RAY_ADDRESS" in os.environ else local.options()
        with kept_handlers(), local.silenced_stderr():  # Ray's own handlers would end us at once
            if not started:
                check_admitted()
            ray.init(
                log_to_driver=False, logging_level=logging.WARNING, runtime_env={"env_vars": environment}, **started
            )
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return Resources(tuple(_node(node) for node in ray.nodes() if node["Alive"]))


def _node(found: dict[str, Any]) -> Node:
    """A machine, from what Ray says of it."""
    has = found["Resources"]
    return Node(
        has.get("CPU", 0.0), has.get("GPU", 0.0), has.get("memory", float("inf")), address=found["NodeManagerAddress"]
    )


@dataclass(frozen=True)
class WorkerSettings:
    """The workers of a stage, and what each reserves."""

    min_workers: int = 1
    """Workers to start with."""
    max_workers: int | None = None
    """Workers at most; None: as many as the cluster's GPUs, or on CPUs up to 8 a machine."""
    gpus_per_worker: float | None = None
    """GPUs that a worker reserves; None: 1 where the cluster has GPUs, else 0."""
    cpus_per_worker: float | None = None
    """CPUs that a worker reserves, and so its threads; None: 1 beside a GPU, else an equal share of a machine's."""

    def wanted(self, *, worker_bytes: Callable[[], float]) -> "Wanted":
        """These workers, of which each without a GPU needs so much main memory."""
        return Wanted(**{field.name: getattr(self, field.name) for field in fields(self)}, worker_bytes=worker_bytes)


@dataclass(frozen=True)
class Wanted(WorkerSettings):
    """The workers that a job asks for; the cluster is joined when `pool` is first looked at."""

    worker_bytes: Callable[[], float] | None = None
    """Main memory that a worker without a GPU needs; None: little. Only asked where it decides the shares."""

    @cached_property
    def resources(self) -> Resources:
        """What the cluster has when it is first looked at."""
        return connect()

    @cached_property
    def pool(self) -> Pool:
        """The workers that fit on the cluster."""
        return self.fit(self.resources)

    def placing(self) -> str | None:
        """How many workers the job gets, and which machines have room for them; None where there is but one machine."""
        return places(self.pool, self.resources)

    def check_here(self) -> None:
        """Refuse workers that don't fit on this machine, before a Ray of our own is started on it.

        Raises
        ------
        ValueError
            As `fit` does.
        """
        if local.is_own():
            here = Node(local.n_cpus(), local.n_gpus(), psutil.virtual_memory().available)
            self.fit(Resources((here,)))

    def have_gpus(self) -> bool:
        """Whether the workers are on GPUs; joins the cluster only where that can't be known without."""
        if self.gpus_per_worker is None and local.is_own():
            return local.n_gpus() > 0
        return self.gpus_per_worker > 0 if self.gpus_per_worker is not None else self.pool.num_gpus > 0

    def fit(self, resources: Resources) -> Pool:
        """The workers that fit on these resources, with room for the readers.

        Raises
        ------
        ValueError
            If the smallest pool doesn't.
        """
        gpus = self.gpus_per_worker if self.gpus_per_worker is not None else float(resources.gpus > 0)
        cpus = self.cpus_per_worker or (1.0 if gpus else self._share(resources))
        room = resources.fits(cpus=cpus, gpus=gpus)
        if room < self.min_workers:
            raise ValueError(
                f"min_workers {self.min_workers} of cpus_per_worker {cpus:g} and gpus_per_worker {gpus:g}, and "
                f"{READER_CPUS:g} CPUs for a reader, must fit on the machines of the cluster ({resources}), but "
                f"{room} such workers do; lower one of them" + (", or give --gpus-per-worker 0." if gpus else ".")
            )
        most = self.max_workers or (room if gpus else _fill(resources, cpus))
        return Pool(self.min_workers, max(self.min_workers, min(most, room)), num_gpus=gpus, num_cpus=cpus)

    def _share(self, resources: Resources) -> float:
        """CPUs of a worker without a GPU: those of the largest machine, shared by as many as its memory takes."""
        largest = max(resources.nodes, key=lambda node: node.cpus, default=Node(1.0))
        cores = max(1, int(largest.cpus - READERS_BESIDE))
        needed = self.worker_bytes() if self.worker_bytes else 0.0
        by_memory = largest.memory // needed if needed else WORKERS_A_MACHINE
        return float(cores // max(1, min(cores, WORKERS_A_MACHINE, by_memory)))


def places(pool: Pool, resources: Resources) -> str | None:
    """The workers of a pool, and the room that each machine has for them: a line, or None for a single machine."""
    if len(resources.nodes) < 2:
        return None
    room = [(node.fits(cpus=pool.num_cpus, gpus=pool.num_gpus), node.address) for node in resources.nodes]
    with_room = [f"{n} on {address}" for n, address in room if n]
    others = [address for n, address in room if not n]
    size = f"{pool.num_cpus:g} CPUs" + (f" and {pool.num_gpus:g} GPUs" if pool.num_gpus else "")
    return (
        f"{pool.min_workers} to {pool.max_workers} workers of {size}; room for {_few(with_room)}"
        + (f"; {_few(others)} only read" if others else "")
        + "."
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")


def _fill(resources: Resources, cpus: float) -> int:
    """Workers that fill all machines but for their readers."""
    return max(1, sum(int(max(1.0, node.cpus - READERS_BESIDE) / cpus) for node in resources.nodes))


def check_seen_by_all(run: Folder, shards: Sequence[Shard] = (), *, paths: Sequence[str] = ()) -> None:
    """Check that every node sees the run folder (a nonce written here is read there) and the corpus's first files.

    `paths` are further files and folders that must be there; what is no path of this machine is left out.

    Raises
    ------
    ValueError
        If a node can't, with its address.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        return
    if run.is_local:
        name = f".nonce{TEMPORARY}{secrets.token_hex(4)}"  # swept if we are killed before it is deleted
        nonce = secrets.token_hex(16).encode()
        run.write(name, nonce)
        sees = ray.remote(num_cpus=0)(_sees)
        try:
            _ask_all(nodes, lambda node: sees.options(scheduling_strategy=node).remote(run, name, nonce), run.uri)
        finally:
            run.delete(name)
    for uri in {shard.uri.rpartition("/")[0]: shard.uri for shard in shards[:MAX_LOOKED_AT]}.values():
        if (path := local_path(uri)) is not None and os.path.isfile(path):  # one that is gone is its reader's trouble
            _ask_all(nodes, partial(_ask_for_file, path), uri)
    for uri in dict.fromkeys(paths):
        if (path := local_path(uri)) is not None and os.path.exists(path):
            _ask_all(nodes, partial(_ask_for_file, path), uri)


def _ask_all(nodes: list[dict], ask: Callable[[Any], Any], uri: str) -> None:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = [(node, ask(NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))) for node in nodes]
    for node, answer in asked:
        try:
            is_seen = ray.get(answer, timeout=ANSWER_S)
        except ray.exceptions.RayError as error:  # it went away meanwhile, or can't start a process
            log.warning("node %s did not answer: %s", node["NodeManagerAddress"], type(error).__name__)
            continue
        if not is_seen:
            raise ValueError(
                f"{uri} must be shared by all nodes, but node {node['NodeManagerAddress']} doesn't see what is there "
                "here; give a path that is mounted everywhere, or an object store's URI."
            )


def _ask_for_file(path: str, node: Any) -> Any:
    import ray

    return ray.remote(num_cpus=0)(_has).options(scheduling_strategy=node).remote(path)


def _has(path: str) -> bool:
    return os.path.exists(path)


def _sees(folder: Folder, name: str, nonce: bytes) -> bool:
    try:
        return folder.read(name) == nonce
    except OSError:
        return False
