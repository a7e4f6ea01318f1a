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
from typing import Any

import psutil
import pyarrow.parquet as pq

from raypipe.models import open_model

TARGETS = {"worker": 0.70, "driver": 0.15, "raylet": 0.15}
PAUSE_S = 4.0
"""Longest time from the first shard that is committed after a kill to the next kill."""
STUCK_S = 600.0
"""A run that commits nothing for so long counts as hung."""
DOCUMENTS_A_SHARD, SHARDS_A_FILE = 12, 20
WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "lo", "mi")]


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
        make_inputs(home, config)
        with machines() as cluster:
            chaos = Chaos(config, home, cluster)
            calm_s = chaos.finish("calm")
            calm = contents(home / "calm")
            print(f"undisturbed: {n_files(home / 'calm/scores')} shards in {calm_s:.0f} s", flush=True)
            return chaos.main(calm)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def make_inputs(home: Path, config: Config) -> None:
    """Write corpus, tokenizer, model and heads."""
    rng = random.Random(config.seed)
    n_sources = -(-config.shards // SHARDS_A_FILE)
    (home / "corpus").mkdir()
    texts: list[str] = []
    for number in range(n_sources):
        rows = [" ".join(rng.choices(WORDS, k=rng.randint(8, 90))) for _ in range(DOCUMENTS_A_SHARD * SHARDS_A_FILE)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in rows)
        (home / f"corpus/part-{number:03d}.jsonl").write_text(lines)
        texts += rows
    make_model(home / "model", texts, seed=config.seed)
    heads = {"model": {"sha256": open_model(str(home / "model")).sha256()}, "chosen": [[1, 0], [1, 2]]}
    (home / "heads.json").write_text(json.dumps({**heads, "causal_check": {"passed": True}}))


def make_model(folder: Path, texts: list[str], *, seed: int) -> None:
    """Save a Llama of two layers with random weights, and a byte-level BPE tokenizer of 512 tokens."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, vocab_size=512, show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer).save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(shape).save_pretrained(folder)


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
            if disturbed:
                self._disturb(driver, name)
            status = driver.wait(timeout=STUCK_S)
            if status == 0:
                return time.monotonic() - started
            if status != -signal.SIGKILL:
                raise RuntimeError(f"the driver ended with status {status}: {self._log(name).read_text()[-3000:]}")

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "jobs.score_corpus", "--output", str(self.home / name),
            "--corpus", str(self.home / "corpus"), "--model", str(self.home / "model"),
            "--scorer", "influence", "perplexity", "--heads", str(self.home / "heads.json"),
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
                return True
            if time.monotonic() > deadline:
                raise RuntimeError(f"nothing was committed for {STUCK_S:.0f} s: {self._log(scores.parent.name)}")
            time.sleep(0.05)
        return False

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


def size_of_shard(corpus: Path) -> int:
    """Bytes of a shard, so that each file gives SHARDS_A_FILE of them."""
    return min(path.stat().st_size for path in corpus.iterdir()) // SHARDS_A_FILE


def contents(run: Path) -> dict[str, Any]:
    """Every file of a run folder but progress: tables of scores without footers' metadata, None for the others."""
    return {
        str(path.relative_to(run)): pq.read_table(path).replace_schema_metadata(None)
        if path.suffix == ".parquet"
        else None
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.parent.name != "progress"
    }


def differences(calm: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What a run has too little, too much, or different, file by file."""
    found = [f"{name} is missing" for name in calm.keys() - other.keys()]
    found += [f"{name} is extra" for name in other.keys() - calm.keys()]
    for name in calm.keys() & other.keys():
        if calm[name] is not None and not same_bytes(calm[name], other[name]):
            found.append(f"{name} differs")
    return sorted(found)


def same_bytes(one: Any, other: Any) -> bool:
    """Whether two tables have the same rows in the same order, scores to the last bit (a NaN equals none)."""
    return bool(one.equals(other))
