"""A factored output layer beside a full softmax, by the number of outputs: python -m jobs.benchmark output_layer.

A step is loss, gradient by the hidden states and update of the layer by gradient descent; what is held against a bar is
the CPU's time on one thread, as other work on the machine bends the clock's. Every size has a process of its own.
"""

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .processes import apart

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured, and the bars."""

    outputs: tuple[int, ...] = (20_000, 80_000, 320_000)
    """Sizes of the factored layer; repeatable."""
    full_outputs: tuple[int, ...] = (20_000, 300_000)
    """Sizes of the full softmax; the last is held against the largest factored one."""
    inputs: int = 256
    """Hidden numbers."""
    rows: int = 256
    """Of a step."""
    steps: int = 8
    """Steps of the factored layer, after one that isn't timed; of the full one a quarter."""
    max_growth: float = 2.0
    """Of a step's time from the smallest factored layer to the largest."""
    min_speed: float = 10.0
    """The full softmax's step over the factored one's."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the table and return 0 if the bars are met, else 1."""
    sizes = (config.inputs, config.rows, config.steps)
    found = {
        "factored": {n: apart(factored_step_s, n, *sizes) for n in config.outputs},
        "full softmax": {n: apart(full_step_s, n, *sizes) for n in config.full_outputs},
    }
    factored, full = (list(of.values()) for of in found.values())
    growth, speed = factored[-1] / factored[0], full[-1] / factored[-1]
    bars = [
        {"rule": "growth of a factored step, at most", "value": growth, "bar": config.max_growth,
         "met": growth <= config.max_growth},
        {"rule": "full softmax's step over the factored one's, at least", "value": speed, "bar": config.min_speed,
         "met": speed >= config.min_speed},
    ]  # fmt: skip
    show(found, bars)
    if config.json:
        told = {name: {str(n): s for n, s in of.items()} for name, of in found.items()}
        Path(config.json).write_text(json.dumps({"seconds": told, "bars": bars}, indent=1))
    return 0 if all(bar["met"] for bar in bars) else 1


def factored_step_s(n_outputs: int, n_inputs: int, n_rows: int, n_steps: int) -> float:
    """Seconds of the CPU for a step under the Z-loss, the median."""
    import torch

    from raypipe.losses.factored_head import FactoredHead, OutputSums
    from raypipe.losses.z_loss import ZLoss, z_loss_of

    torch.set_num_threads(1)
    torch.manual_seed(0)
    head, found = FactoredHead(0.05 * torch.randn(n_outputs, n_inputs)), []
    for _ in range(n_steps + 1):
        H, targets = torch.randn(n_rows, n_inputs, requires_grad=True), torch.randint(n_outputs, (n_rows,))
        started = time.process_time()
        seen = head.seen(H, targets)
        loss = z_loss_of(*seen, n_outputs=n_outputs, loss=ZLoss()).mean()
        *by, _ = torch.autograd.grad(loss, (*seen, H))
        head.update(H.detach(), targets, OutputSums(*by), learning_rate=0.1)
        found.append(time.process_time() - started)
    return statistics.median(found[1:])


def full_step_s(n_outputs: int, n_inputs: int, n_rows: int, n_steps: int) -> float:
    """The same of cross-entropy over all outputs, and gradient descent on all weights."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    torch.manual_seed(0)
    weight, found = (0.05 * torch.randn(n_outputs, n_inputs)).requires_grad_(), []
    for _ in range(max(2, n_steps // 4) + 1):
        H, targets = torch.randn(n_rows, n_inputs, requires_grad=True), torch.randint(n_outputs, (n_rows,))
        started = time.process_time()
        gradient, _ = torch.autograd.grad(F.cross_entropy(H @ weight.T, targets), (weight, H))
        with torch.no_grad():
            weight.sub_(gradient, alpha=0.1)
        found.append(time.process_time() - started)
    return statistics.median(found[1:])


def show(found: dict[str, dict[int, float]], bars: list[Json]) -> None:
    """The table and the bars, for a terminal."""
    console = Console(width=110)
    table = Table("layer", "outputs", "CPU ms a step")
    for name, of in found.items():
        for n, seconds in of.items():
            table.add_row(name, f"{n:,}", f"{1e3 * seconds:,.1f}")
    console.print(table)
    for bar in bars:
        console.print(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.3g} (bar {bar['bar']:g})")
