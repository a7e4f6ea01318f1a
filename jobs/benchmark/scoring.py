"""Scoring speed, side by side in one run: transformers loops against raypipe: python -m jobs.benchmark scoring."""

import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from .contender_names import NAMES, Contender
from .processes import apart

if TYPE_CHECKING:
    from .contenders import Bench, Measured

COLUMNS = {
    "passes": ("passes", "{:.2f}"),
    "padding": ("padding", "{:.1%}"),
    "peak_share": ("of peak", "{:.0%}"),
    "peak_memory_gb": ("memory", "{:.1f} GB"),
    "waited": ("waited", "{:.1%}"),
    "start_up_s": ("start-up", "{:.1f} s"),
    "loss_error": ("loss differs", "{:.0e}"),
}
"""Figure -> heading and shape of its cells."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured, and the bars."""

    shape: Literal["135m", "360m", "1.3b", "1.7b", "tiny"] = "135m"
    """Model shape; weights are random."""
    dtype: Literal["auto", "float32", "bfloat16", "float8"] = "auto"
    """For all but plain32; auto: bfloat16 on a GPU, float32 on a CPU. With float8 the loops are in bfloat16."""
    documents: int | None = None
    """Documents; None: 128 on a CPU, 8,192 on a GPU."""
    runs: int = 3
    """Runs of each contender, in turn; medians are printed."""
    batch_size: int | None = None
    """Documents a batch of the plain loops; None: 8 on a CPU, 16 on a GPU."""
    token_budget: int | None = None
    """Tokens a batch of raypipe; None: 4,096 on a CPU, 32,768 on a GPU."""
    compile: bool = False
    """raypipe's layers are compiled; the plain loops never are."""
    seed: int = 0
    """Of lengths, tokens and weights."""
    contenders: tuple[Contender, ...] = ("plain", "sorted", "single", "alone", "ray")
    """Who takes part; plain32 is the plain loop in float32 whatever the dtype of the others."""
    min_over_plain: float = 2.5
    """Bar: raypipe through Ray over the plain loop."""
    min_over_sorted: float = 1.3
    """Bar: raypipe through Ray over the sorted loop."""
    min_over_single: float = 1.2
    """Bar: raypipe through Ray over the loop of one document a pass, in which nothing is padded."""
    min_over_plain32: float = 5.0
    """Bar: raypipe through Ray in bfloat16 over the plain loop in float32."""
    max_ray_cost: float = 0.1
    """Bar: share of the speed without Ray that Ray may cost."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the table and return 0 if the bars are met, else 1."""
    from .contenders import Bench, device_peak

    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench.make(
            Path(temporary), shape=config.shape, dtype=config.dtype, documents=config.documents,
            batch_size=config.batch_size, token_budget=config.token_budget, seed=config.seed,
            compile=config.compile,
        )  # fmt: skip
        runs = [_round(bench, config.contenders, at) for at in range(1, config.runs + 1)]
        peak = apart(device_peak, bench)
    contenders = {who: summarise([run[who] for run in runs], bench.shape, peak) for who in config.contenders}
    reference = runs[0][config.contenders[0]].losses
    for who in config.contenders:
        contenders[who]["loss_error"] = max(differ(run[who].losses, reference) for run in runs)
    bars = check_bars({who: figures["tokens_per_s"] for who, figures in contenders.items()}, config)
    result = {
        "shape": bench.shape, "dtype": bench.dtype, "compiled": bench.compile,
        "device": _device_name(bench.device), "runs": config.runs,
        "documents": len(bench.documents), "tokens": bench.tokens, "matmul_peak_flops": peak,
        "contenders": contenders, "bars": bars,
    }  # fmt: skip
    show(result)
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    return 0 if all(bar["met"] for bar in bars) else 1


def _round(bench: "Bench", contenders: tuple[Contender, ...], at: int) -> "dict[Contender, Measured]":
    from .contenders import contend

    measured = {}
    for who in contenders:
        measured[who] = apart(contend, bench, who)
        print(f"run {at}: {NAMES[who]}: {measured[who].figures['tokens_per_s']:,.0f} tokens/s", flush=True)
    return measured


def summarise(runs: "list[Measured]", shape: str, peak: float) -> dict[str, float]:
    """Medians over runs, and the share of the device's matmul peak that the model's own operations are."""
    from .shapes import SHAPES

    figures = [run.figures for run in runs]
    medians = {name: statistics.median(run[name] for run in figures) for name in figures[0]}
    if "passes" in medians:
        flops = SHAPES[shape].flops_per_token(passes=medians["passes"], head_passes=2)
        medians["peak_share"] = medians["tokens_per_s"] * flops / peak
    medians["slowest"], medians["fastest"] = (choose(run["tokens_per_s"] for run in figures) for choose in (min, max))
    return medians


def differ(losses: np.ndarray, reference: np.ndarray) -> float:
    """The largest relative difference of a document's loss."""
    return float(np.max(np.abs(losses - reference) / reference))


def check_bars(speed: dict[str, float], config: Config) -> list[dict[str, Any]]:
    """The bars whose contenders took part."""
    rules = [
        ("raypipe through Ray over the plain loop, at least", "plain", config.min_over_plain),
        ("raypipe through Ray over the sorted loop, at least", "sorted", config.min_over_sorted),
        ("raypipe through Ray over one document a pass, at least", "single", config.min_over_single),
        ("raypipe through Ray over the plain loop in float32, at least", "plain32", config.min_over_plain32),
    ]
    bars = []
    for rule, other, bar in rules:
        if {other, "ray"} <= speed.keys():
            value = speed["ray"] / speed[other]
            bars.append({"rule": rule, "value": value, "bar": bar, "met": value >= bar})
    if {"alone", "ray"} <= speed.keys():
        value, bar = 1 - speed["ray"] / speed["alone"], config.max_ray_cost
        bars.append({"rule": "speed that Ray costs, at most", "value": value, "bar": bar, "met": value <= bar})
    return bars


def show(result: dict[str, Any]) -> None:
    """The table and the bars, for a terminal."""
    title = f"{result['shape']}, {result['dtype']}, {result['documents']:,} documents, {result['tokens']:,} tokens"
    table = Table("", "tokens/s", "x", *(heading for heading, _ in COLUMNS.values()), title=title)
    first = next(iter(result["contenders"].values()))["tokens_per_s"]
    for who, row in result["contenders"].items():
        cells = [shape.format(row[name]) if name in row else "-" for name, (_, shape) in COLUMNS.items()]
        table.add_row(NAMES[who], f"{row['tokens_per_s']:,.0f}", f"{row['tokens_per_s'] / first:.2f}", *cells)
    console = Console(width=130)
    console.print(table)
    console.print(
        f"{result['device']}; matrix products reach {result['matmul_peak_flops'] / 1e12:.2f} TFLOP/s; "
        f"medians of {result['runs']}"
    )
    for bar in result["bars"]:
        console.print(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.2f} (bar {bar['bar']:g})")


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else f"{psutil.cpu_count()} CPU cores"
