"""Scoring speed, side by side in one run: transformers loops against raypipe: python -m jobs.benchmark scoring."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table

from jobs.benchmark.plain_loop import plain_losses
from jobs.benchmark.shapes import SHAPES, as_text, heads_of, make_documents, make_model
from raypipe.corpus import Corpus, plan_shards, read_shard
from raypipe.models import open_model
from raypipe.run.cluster import Wanted
from raypipe.run.commit import commit, file_name
from raypipe.run.rows import through
from raypipe.run.stage import Annotate, Sizes
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.influence import Influence
from raypipe.storage import Folder

PLAIN, SORTED, ALONE, RAY = "plain transformers loop", "the same, sorted by length", "raypipe without Ray", "raypipe"
FILES = 8


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured, and the bars."""

    shape: Literal["135m", "360m", "1.3b", "1.7b", "tiny"] = "135m"
    """Model shape; weights are random."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """The same for all; auto: bfloat16 on a GPU, float32 on a CPU."""
    documents: int | None = None
    """Documents; None: 128 on a CPU, 8,192 on a GPU."""
    runs: int = 3
    """Runs of each contender, in turn; medians are printed."""
    batch_size: int | None = None
    """Documents a batch of the plain loops; None: 8 on a CPU, 16 on a GPU."""
    token_budget: int | None = None
    """Tokens a batch of raypipe; None: 4,096 on a CPU, 32,768 on a GPU."""
    seed: int = 0
    """Of lengths, tokens and weights."""
    contenders: tuple[Literal["plain", "sorted", "alone", "ray"], ...] = ("plain", "sorted", "alone", "ray")
    """Who takes part."""
    min_over_plain: float = 2.5
    """Bar: raypipe through Ray over the plain loop."""
    max_ray_cost: float = 0.1
    """Bar: share of the speed without Ray that Ray may cost."""
    json: str | None = None
    """File for the figures."""


@dataclass
class Bench:
    """One model, one set of documents on disk, and the contenders over them."""

    config: Config
    folder: Path

    def __post_init__(self) -> None:
        """Make the model and the documents."""
        config, self.on_gpu = self.config, torch.cuda.is_available()
        self.device = "cuda" if self.on_gpu else "cpu"
        self.dtype = config.dtype if config.dtype != "auto" else "bfloat16" if self.on_gpu else "float32"
        scale, n = (1, 8192) if self.on_gpu else (4, 128)  # the lengths of the design; a quarter of them on CPUs
        self.cap = 4096 // scale
        self.documents = make_documents(
            config.documents or n, median=600 / scale, sigma=0.9, cap=self.cap, seed=config.seed
        )
        self.tokens = sum(map(len, self.documents))
        self.heads, self.model = heads_of(config.shape), self.folder / "model"
        make_model(config.shape, self.model, max_tokens=self.cap, dtype=getattr(torch, self.dtype), seed=config.seed)
        self.corpus = Corpus(sources=(str(self._write_documents()),))
        self._hugging_face: Any = None

    def _write_documents(self) -> Path:
        folder = self.folder / "corpus"
        folder.mkdir()
        for at, part in enumerate(np.array_split(np.arange(len(self.documents)), FILES)):
            texts = [as_text(self.documents[row]) for row in part]
            pq.write_table(pa.table({"text": texts}), folder / f"{at}.parquet")
        return folder

    def op(self) -> ForwardPass:
        """The scorer, not set up."""
        budget = self.config.token_budget or (32_768 if self.on_gpu else 4096)
        return ForwardPass(
            model=str(self.model),
            statistics=(Influence(),),
            heads=self.heads,
            max_tokens=self.cap,
            dtype=self.dtype,
            token_budget=budget,
        )

    def plain(self, *, by_length: bool) -> dict[str, float]:
        """A plain loop over all documents."""
        if self._hugging_face is None:
            self._hugging_face = open_model(str(self.model)).weights(dtype=self.dtype, device=self.device)
        size = self.config.batch_size or (16 if self.on_gpu else 8)
        plain_losses(self._hugging_face, self.documents[:2], self.heads, batch_size=2, by_length=by_length)  # warm-up
        started = time.perf_counter()
        losses, padding = plain_losses(
            self._hugging_face, self.documents, self.heads, batch_size=size, by_length=by_length
        )
        spent = time.perf_counter() - started
        self.check = losses
        return {"tokens_per_s": self.tokens / spent, "padding": padding / (padding + self.tokens), "passes": 2.0}

    def alone(self, folder: Folder) -> dict[str, float]:
        """Raypipe from Parquet on disk to committed scores in this process, shard after shard."""
        op = self.op()
        started = time.perf_counter()
        op.setup(n_threads=torch.get_num_threads())
        plan = plan_shards(self.corpus, shard_bytes=1 << 40, part_rows=1)
        op(op.prepare(read_shard(self.corpus, plan.shards[0])).slice(0, 2))
        start_up, begun = time.perf_counter() - started, time.perf_counter()
        assert op.decoder is not None
        op.decoder.layer_calls, calls = 0, 0
        for shard in plan:
            source = read_shard(self.corpus, shard)
            prepared = op.prepare(source)
            calls += len(op.batches(prepared))
            result = through(op, prepared, report=lambda rows, cost, seconds: None)
            commit(folder, file_name(shard, is_last=True), shard=shard, source=source, result=result)
        spent = time.perf_counter() - begun
        passes = op.decoder.layer_calls / (calls * op.decoder.shape.n_layers)
        padding = op.padding / (op.padding + self.tokens)
        return {"tokens_per_s": self.tokens / spent, "padding": padding, "passes": passes, "start_up_s": start_up}

    def ray(self, folder: Folder) -> dict[str, float]:
        """Raypipe as a job runs it: Ray Data, a pool of one worker, from the first commit to the last."""
        run = Annotate(
            folder, "scores", self.op(), self.corpus, wanted=Wanted(max_workers=1), sizes=Sizes(1 << 40, 1),
            identity={}, stopping=Event(),
        )  # fmt: skip
        card = run()
        times, counts = card["times"], card["counts"]
        return {
            "tokens_per_s": times["tokens_per_s"],
            "padding": counts["padding_fraction"],
            "waited": times["waited_s"] / max(times["waited_s"] + times["busy_s"], 1e-9),
            "start_up_s": times["start_up_s"],
        }


def main(config: Config) -> int:
    """Print the table and return 0 if the bars are met, else 1."""
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(config, Path(temporary))
        runs = [_round(bench, at) for at in range(config.runs)]
        peak = matmul_peak(bench.device, getattr(torch, bench.dtype))
    contenders = {name: summarise([run[name] for run in runs], bench, peak) for name in runs[0]}
    bars = check_bars(contenders, config)
    result = {
        "shape": config.shape, "dtype": bench.dtype, "device": _device_name(bench.device), "runs": config.runs,
        "documents": len(bench.documents), "tokens": bench.tokens, "matmul_peak_flops": peak,
        "contenders": contenders, "bars": bars,
    }  # fmt: skip
    show(result)
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    return 0 if all(bar["met"] for bar in bars) else 1


def _round(bench: Bench, at: int) -> dict[str, dict[str, float]]:
    contenders: dict[str, tuple[str, Callable[[], dict[str, float]]]] = {
        "plain": (PLAIN, lambda: bench.plain(by_length=False)),
        "sorted": (SORTED, lambda: bench.plain(by_length=True)),
        "alone": (ALONE, lambda: bench.alone(Folder(str(bench.folder / f"alone-{at}")))),
        "ray": (RAY, lambda: bench.ray(Folder(str(bench.folder / f"ray-{at}")))),
    }
    figures = {}
    for key in bench.config.contenders:
        name, contender = contenders[key]
        _forget_peak(bench.device)
        figures[name] = contender()
        if key != "ray":  # its memory is the worker's
            figures[name]["peak_memory_gb"] = _peak_gb(bench.device)
        print(f"run {at + 1}: {name}: {figures[name]['tokens_per_s']:,.0f} tokens/s", flush=True)
    return figures


def summarise(runs: list[dict[str, float]], bench: Bench, peak: float) -> dict[str, float]:
    """Medians over runs, and the share of the device's matmul peak that the model's own operations are."""
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    if "passes" in medians:
        flops = SHAPES[bench.config.shape].flops_per_token(passes=medians["passes"], head_passes=2)
        medians["peak_share"] = medians["tokens_per_s"] * flops / peak
    medians["slowest"], medians["fastest"] = (choose(run["tokens_per_s"] for run in runs) for choose in (min, max))
    return medians


def check_bars(contenders: dict[str, dict[str, float]], config: Config) -> list[dict[str, Any]]:
    """The bars whose contenders took part."""
    speed = {name: figures["tokens_per_s"] for name, figures in contenders.items()}
    bars = []
    if {PLAIN, RAY} <= speed.keys():
        value = speed[RAY] / speed[PLAIN]
        rule = {"rule": "through Ray over the plain loop", "value": value, "bar": config.min_over_plain}
        bars.append({**rule, "met": value >= config.min_over_plain})
    if {ALONE, RAY} <= speed.keys():
        value = 1 - speed[RAY] / speed[ALONE]
        rule = {"rule": "speed that Ray costs, at most", "value": value, "bar": config.max_ray_cost}
        bars.append({**rule, "met": value <= config.max_ray_cost})
    return bars


def show(result: dict[str, Any]) -> None:
    """The table and the bars, for a terminal."""
    names = [name for name in (PLAIN, SORTED, ALONE, RAY) if name in result["contenders"]]
    first = result["contenders"][names[0]]["tokens_per_s"]
    title = f"{result['shape']}, {result['dtype']}, {result['documents']:,} documents, {result['tokens']:,} tokens"
    table = Table("", "tokens/s", "x", "passes", "padding", "of peak", "memory", "waited", "start-up", title=title)
    for name in names:
        row = result["contenders"][name]
        cells = [
            f"{row['tokens_per_s']:,.0f}", f"{row['tokens_per_s'] / first:.2f}", _cell(row, "passes", "{:.2f}"),
            _cell(row, "padding", "{:.1%}"), _cell(row, "peak_share", "{:.0%}"),
            _cell(row, "peak_memory_gb", "{:.1f} GB"), _cell(row, "waited", "{:.1%}"),
            _cell(row, "start_up_s", "{:.1f} s"),
        ]  # fmt: skip
        table.add_row(name, *cells)
    console = Console(width=120)
    console.print(table)
    console.print(
        f"{result['device']}; matrix products reach {result['matmul_peak_flops'] / 1e12:.2f} TFLOP/s; medians"
    )
    for bar in result["bars"]:
        console.print(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.2f} (bar {bar['bar']:g})")


def _cell(row: dict[str, float], name: str, shape: str) -> str:
    return shape.format(row[name]) if name in row else "-"


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product on this device, the best of several."""
    n = 8192 if device == "cuda" else 1536
    a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        _wait(device)
        started = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2.0 * n**3 / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"{psutil.cpu_count()} CPU cores"


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # resets the kernel's high-water mark of this process


def _peak_gb(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status").read_text() if Path("/proc/self/status").exists() else ""
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(peak.split()[1]) / 1e6
