"""Kill a stage's processes at random and compare with an undisturbed run: python -m jobs.benchmark chaos --kills 20.

A random Llama of two layers scores a made-up corpus by influence, through the same command that scores any corpus, on a
cluster of a head and two nodes on this machine. Only live processes of an unfinished stage are killed; when a stage is
finished before its kills are over, a fresh run folder is begun. Each one must equal the undisturbed one.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from .chaos_inputs import contents, differences, make_inputs, size_of_shard

TARGETS = {"worker": 0.70, "driver": 0.15, "raylet": 0.15}
PAUSE_S = 4.0
"""Longest time from the first shard that is committed after a kill to the next kill."""
STUCK_S = 600.0
"""A run that commits nothing for so long counts as hung."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much is killed, and of what."""

    kills: int = 20
    """Processes to kill."""
    seed: int = 0
    """Of the corpus, the weights, the targets and the times."""
    shards: int = 300
    """Shards of the corpus, at least."""


def main(config: Config) -> int:
    """Print a line for each kill and the comparison; status 1 if a run differs from the undisturbed one."""
    home = Path(tempfile.mkdtemp(prefix="chaos-"))
    os.environ.update(RAY_TMPDIR=str(home), RAY_AUTH_MODE="disabled", RAYPIPE_CACHE=str(home / "cache"))
    try:
        make_inputs(home, shards=config.shards, seed=config.seed)
        with machines() as cluster:
            chaos = Chaos(config, home, cluster)
            calm_s = chaos.finish("calm")
            calm = contents(home / "calm")
            print(f"undisturbed: {n_files(home / 'calm/scores')} shards in {calm_s:.0f} s", flush=True)
            return chaos.main(calm)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def machines() -> Iterator[Any]:
    """A Ray cluster of three nodes on this machine: a head that runs drivers and readers, and two for workers."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2)
        yield cluster
    finally:
        cluster.shutdown()


@dataclass
class Chaos:
    """Runs drivers, and kills."""

    config: Config
    home: Path
    cluster: Any
    killed: Counter[str] = field(default_factory=Counter)
    pauses: dict[str, list[float]] = field(default_factory=dict)
    """Target -> seconds from each kill to the next commit."""
    _last_kill: tuple[str, float] | None = None

    def __post_init__(self) -> None:
        self.rng = random.Random(self.config.seed + 1)
        self.began = time.monotonic()

    def main(self, calm: dict[str, Any]) -> int:
        """All kills, over as many runs as they take; status 1 if one differs."""
        wrong, n_runs = [], 0
        while self.killed.total() < self.config.kills:
            name, n_runs = f"run-{n_runs}", n_runs + 1
            self.finish(name, disturbed=True)
            found = differences(calm, contents(self.home / name))
            print(f"{name}: {'equal to the undisturbed run' if not found else '; '.join(found)}", flush=True)
            wrong += found
            shutil.rmtree(self.home / name)
        for kind, pauses in sorted(self.pauses.items()):
            print(f"after a {kind}: {median(pauses):.1f} s to the next commit (median), {max(pauses):.1f} s at most")
        rows = sum(table.num_rows for table in calm.values() if table is not None)
        kinds = ", ".join(f"{n} of a {kind}" for kind, n in sorted(self.killed.items()))
        print(
            f"{self.killed.total()} kills ({kinds}) over {n_runs} runs of {rows} rows in "
            f"{time.monotonic() - self.began:.0f} s: {len(wrong)} differences"
        )
        return 1 if wrong else 0

    def finish(self, name: str, *, disturbed: bool = False) -> float:
        """Give the same command until it ends by itself; returns the seconds it took.

        Raises
        ------
        RuntimeError
            If it ends with a failure or doesn't end.
        """
        started = time.monotonic()
        while True:
            driver = self._start(name)
            try:
                if disturbed:
                    self._disturb(driver, name)
                status = driver.wait(timeout=STUCK_S)
            finally:
                driver.kill()  # it is gone, unless we are asked to go
            if status == 0:
                return time.monotonic() - started
            if status != -signal.SIGKILL:
                raise RuntimeError(f"the driver ended with status {status}: {self._log(name).read_text()[-3000:]}")

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", f"{__package__.rpartition('.')[0]}.score_corpus", "--output", str(self.home / name),
            "--corpus", str(self.home / "corpus"), "--model", str(self.home / "model"),
            "--scorer", "influence", "perplexity", "--heads", str(self.home / "heads.json"), "--allow-weak-heads",
            "--shard-bytes", str(size_of_shard(self.home / "corpus")), "--max-tokens", "256", "--token-budget", "1024",
            "--dtype", "float32", "--min-workers", "2", "--max-workers", "2", "--cpus-per-worker", "1",
        ]  # fmt: skip
        with self._log(name).open("ab") as log:
            environment = {**os.environ, "RAY_ADDRESS": self.cluster.address}
            return subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def _log(self, name: str) -> Path:
        return self.home / f"{name}.log"

    def _disturb(self, driver: subprocess.Popen[bytes], name: str) -> None:
        """Kill at seeded times for as long as this driver lives and kills are left."""
        scores = self.home / name / "scores"
        while self.killed.total() < self.config.kills and self._wait_for_progress(driver, scores):
            kind = self.rng.choices(list(TARGETS), list(TARGETS.values()))[0]
            try:
                driver.wait(timeout=self.rng.uniform(0.0, PAUSE_S))
            except subprocess.TimeoutExpired:
                self._kill(kind, driver, scores)

    def _wait_for_progress(self, driver: subprocess.Popen[bytes], scores: Path) -> bool:
        """Wait for one more shard; False if the driver ends before.

        Raises
        ------
        RuntimeError
            If there is none for too long.
        """
        before, deadline = n_files(scores), time.monotonic() + STUCK_S
        while driver.poll() is None:
            if n_files(scores) > before:
                self._note_pause()
                return True
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing was committed for {STUCK_S:.0f} s: {self._log(scores.parent.name)}")
            time.sleep(0.05)
        return False

    def _note_pause(self) -> None:
        if self._last_kill is not None:
            kind, at = self._last_kill
            self.pauses.setdefault(kind, []).append(time.monotonic() - at)
            self._last_kill = None

    def _kill(self, kind: str, driver: subprocess.Popen[bytes], scores: Path) -> None:
        """One process of the unfinished stage; no worker may be alive at the moment, then nothing happens."""
        done = {path.name for path in scores.glob("*.parquet")}
        if (
            not (scores / "card.json").exists()
            or json.loads((scores / "card.json").read_text())["status"] == "finished"
        ):
            return
        node = self.rng.choice(sorted(self.cluster.worker_nodes, key=lambda node: str(node.unique_id)))
        phase = "running"
        if kind == "worker":
            workers = self._workers()
            if not workers:
                return
            process, phase = self.rng.choice(workers)
            process.kill()
        elif kind == "driver":
            driver.kill()
        else:
            node.all_processes["raylet"][0].process.kill()
            self.cluster.remove_node(node, allow_graceful=False)
            self.cluster.add_node(num_cpus=2)
        self.killed[kind] += 1
        self._last_kill = (kind, time.monotonic())
        seconds = time.monotonic() - self.began
        last = max(done, default="none").removesuffix(".parquet")
        print(
            f"{seconds:7.1f} s  kill {self.killed.total():3d}  {kind:6}  {phase:7}  after {len(done)} shards, "
            f"the last {last}",
            flush=True,
        )

    def _workers(self) -> list[tuple[psutil.Process, str]]:
        """Processes that read, load or score at this moment, with what they do: Ray writes it into their titles."""
        found = []
        for node in [self.cluster.head_node, *self.cluster.worker_nodes]:
            for process in descendants(node.all_processes["raylet"][0].process.pid):
                title = title_of(process)
                if title.startswith("ray::MapWorker"):
                    phase = "score" if title.endswith(".submit") else "load" if "__init__" in title else "idle"
                    found.append((process, phase))
                elif title.startswith("ray::MapBatches(Reader"):
                    found.append((process, "read"))
                elif "_rescue" in title:
                    found.append((process, "alone"))
        return sorted(found, key=lambda one: one[0].pid)


def descendants(pid: int) -> list[psutil.Process]:
    """The processes below one, none if it is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def title_of(process: psutil.Process) -> str:
    """What a process calls itself."""
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


def n_files(scores: Path) -> int:
    """Shards that are committed."""
    return sum(1 for _ in scores.glob("*.parquet"))
