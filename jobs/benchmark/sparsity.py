"""What pruning saves: multiplications on paper and the CPU's time side by side: python -m jobs.benchmark sparsity.

A Llama-shaped model as it is, with masks, with 2 of every 4, and with feed-forward units taken out; a step is a forward
and a backward pass over the same random texts, on one thread, by turns, so that all meet the same machine.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured, and the bar."""

    shape: str = "4m"
    """Model."""
    vocabulary_size: int = 2048
    """Rows of its embedding."""
    length: int = 256
    """Tokens of a text."""
    texts: int = 4
    """Of a step."""
    steps: int = 8
    """Turns, after one that isn't timed."""
    sparsity: float = 0.9
    """Of the masks by magnitude."""
    units: float = 0.75
    """Share of the feed-forward units that are taken out."""
    max_time_left: float = 0.9
    """Of a step with units taken out, of a dense one's."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the table and return 0 if units taken out save time, else 1."""
    import torch

    torch.set_num_threads(1)
    models = {name: model_of(config, name) for name in ("dense", "magnitude", "pattern", "units")}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(config.steps + 1):
        for name, (task, _) in models.items():
            seconds[name].append(step_s(task, config))
    medians = {name: statistics.median(of[1:]) for name, of in seconds.items()}
    found = {
        name: {"flops_left": left, "ms": 1e3 * medians[name], "time_left": medians[name] / medians["dense"]}
        for name, (_, left) in models.items()
    }
    show(found)
    is_met = found["units"]["time_left"] <= config.max_time_left
    left = found["units"]["time_left"]
    print(f"{'met' if is_met else 'MISSED'}: time left with units taken out: {left:.2f} (bar {config.max_time_left:g})")
    if config.json:
        Path(config.json).write_text(json.dumps(found, indent=1))
    return 0 if is_met else 1


def model_of(config: Config, prune: str) -> tuple[Any, float]:
    """A task of the model after such pruning, and the share of a token's multiplications that is left."""
    from raypipe.models.presets import config_of, new_model
    from raypipe.train.engines.handles import Weights, trained_weights
    from raypipe.train.loop.flops import matrix_parameters
    from raypipe.train.tasks.next_token import NextToken
    from raypipe.train.weights.pruning import Pruner, Pruning, matrices_of
    from raypipe.train.weights.units import take_out_units

    shape = config_of(config.shape, vocabulary_size=config.vocabulary_size, length=config.length, end=None)
    model = new_model(shape, seed=0, initialisation="normal")
    dense = matrix_parameters(model)
    if prune != "dense":
        sparsity = config.units if prune == "units" else config.sparsity
        pruner = Pruner(Pruning(prune=prune, sparsity=sparsity), n_steps=1, seed=0)  # type: ignore[arg-type]
        pruner.begin({name: of.detach() for name, of in matrices_of(trained_weights(model)).items()})
        pruner.hold(Weights(trained_weights(model)))
    if prune == "units":
        take_out_units(model)
    zeros = sum(int((of == 0).sum()) for of in matrices_of(trained_weights(model)).values())
    return NextToken(model), (matrix_parameters(model) - zeros) / dense


def step_s(task: Any, config: Config) -> float:
    """Seconds of the CPU for a forward and a backward pass."""
    import numpy as np
    import torch

    from raypipe.contracts.rows import Document
    from raypipe.train.engines.handles import plainly

    random = np.random.default_rng(0)
    ids = random.integers(0, config.vocabulary_size, (config.texts, config.length)).astype(np.int32)
    tensors = task.collate([Document(row, "all", "random", at) for at, row in enumerate(ids)], torch.device("cpu"))
    started = time.process_time()
    task.loss(plainly(task.models), tensors).losses.mean().backward()
    seconds = time.process_time() - started
    task.module.zero_grad()
    return seconds


def show(found: Json) -> None:
    """The table, for a terminal."""
    table = Table("pruned by", "multiplications left", "CPU ms a step", "time left")
    for name, of in found.items():
        table.add_row(name, f"{of['flops_left']:.0%}", f"{of['ms']:,.0f}", f"{of['time_left']:.0%}")
    Console(width=110).print(table)
