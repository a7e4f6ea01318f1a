"""Multiple choice, raypipe beside lm-eval's hf model, in one run: python -m jobs.benchmark evaluation.

lm-eval runs in an environment that has it (extra `eval`), by --oracle PYTHON; both answer the same questions on the
same weights and threads, in turn. Says items per second and whether both answer every question alike; on a machine with
other work, times of the CPU tell more than those of the clock.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .processes import apart

if TYPE_CHECKING:
    from raypipe.evaluate.benchmarks import Item

SCRIPT = Path(__file__).parent / "oracles" / "lm_eval_side.py"
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is asked, of whom, and the bars."""

    model: str = "sample"
    """Folder, org/name[@revision], GGUF file, or `sample`; float32 on the CPU for both."""
    questions: tuple[str, ...] = ()
    """NAME=FILE of multiple-choice rows, repeatable; without any, questions made of the embedded sample."""
    items: int = 100
    """Questions of each."""
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    """lm-eval's; it is held against the best of them."""
    threads: int = 2
    """Of the CPU, for each in its turn."""
    oracle: str = sys.executable
    """The Python of an environment with lm-eval."""
    min_ratio: tuple[str, ...] = ("long_question=2", "short_question=1.2", "arc_easy=2", "piqa=1.2")
    """NAME=BAR: items/s over lm-eval's best, at least."""
    json: str | None = None
    """File for the figures."""


def main(config: Config) -> int:
    """Print the table and return 0 if answers agree and the bars are met, else 1."""
    from raypipe.models.causal import open_model

    from .questions import questions

    asked, folder = questions(config.questions, n=config.items), str(open_model(config.model).folder)
    theirs = lm_eval_answers(asked, folder, config)
    tasks = {}
    for name, items in asked.items():
        ours = apart(raypipe_answers, items, config.model, config.threads)
        tasks[name] = compared(items, ours, theirs["tasks"][name])
    result = {"model": config.model, "threads": config.threads, "versions": theirs["versions"], "tasks": tasks}
    result["bars"] = bars(tasks, dict(one.split("=") for one in config.min_ratio))
    show(result)
    if config.json:
        Path(config.json).write_text(json.dumps(result, indent=1))
    return 0 if all(bar["met"] for bar in result["bars"]) else 1


def raypipe_answers(items: "list[Item]", model: str, threads: int) -> Json:
    """Log-likelihoods and seconds of this project, without loading."""
    import time

    import torch

    from raypipe.evaluate.multiple_choice import WAYS, answers
    from raypipe.lm.decoder import Decoder
    from raypipe.models.causal import open_model
    from raypipe.models.tokenizer import open_vocabulary

    from ..parts.evaluation.model import BUDGET

    torch.set_num_threads(threads)
    decoder = Decoder(open_model(model).weights(dtype="float32", device="cpu"), max_tokens=2048)
    vocabulary = open_vocabulary(model)
    start, cpu = time.perf_counter(), time.process_time()
    found = answers(decoder, vocabulary, items, max_tokens=2048, budget=BUDGET["cpu"])
    seconds = (time.perf_counter() - start, time.process_time() - cpu)
    chosen = [{way: one.chosen(way) for way in WAYS} for one in found]
    return {"seconds": seconds, "log_likelihood": [one.log_likelihood.tolist() for one in found], "chosen": chosen}


def lm_eval_answers(asked: "dict[str, list[Item]]", folder: str, config: Config) -> Json:
    """What lm-eval says of the questions, in a process and an environment of its own.

    Raises
    ------
    ValueError
        If that environment has no lm-eval, or it failed; with the end of what it said.
    """
    tasks = {
        name: [{"text": item.contexts[0], "choices": item.choices, "gold": item.gold} for item in items]
        for name, items in asked.items()
    }
    request = {"model": folder, "threads": config.threads, "batch_sizes": config.batch_sizes, "tasks": tasks}
    with tempfile.TemporaryDirectory() as temporary:
        given, answered = Path(temporary) / "asked.json", Path(temporary) / "answered.json"
        given.write_text(json.dumps(request))
        command = [config.oracle, str(SCRIPT), str(given), str(answered)]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        if done.returncode:
            raise ValueError(
                f"oracle must be a Python with lm-eval (pip install 'raypipe[eval]'), {config.oracle} ended with "
                f"{done.returncode}: {done.stderr[-500:]}"
            )
        return dict(json.loads(answered.read_text()))


def compared(items: "list[Item]", ours: Json, theirs: Json) -> Json:
    """Speeds, and where the two differ."""
    right = {
        way: [one[way] == item.gold for one, item in zip(ours["chosen"], items, strict=True)]
        for way in ("raw", "per_byte")
    }
    differ = {
        way: [items[at].name for at, one in enumerate(theirs["items"]) if one["right"][way] != of[at]]
        for way, of in right.items()
    }
    mine, other = (
        np.concatenate(of) for of in (ours["log_likelihood"], [i["log_likelihood"] for i in theirs["items"]])
    )
    speed = {size: len(items) / wall for size, (wall, _) in theirs["seconds"].items()}
    wall, cpu = ours["seconds"]
    return {
        "n": len(items), "items_per_s": len(items) / wall, "lm_eval_items_per_s": speed,
        "ratio": len(items) / wall / max(speed.values()),
        "cpu_ratio": min(of for _, of in theirs["seconds"].values()) / cpu, "differ": differ,
        "accuracy": {way: float(np.mean(of)) for way, of in right.items()},
        "largest_relative_difference": float(np.max(np.abs(mine - other) / np.abs(other))),
    }  # fmt: skip


def bars(tasks: Json, ratios: dict[str, str]) -> list[Json]:
    """Agreement on every question, and speed where a bar is set for it."""
    found = []
    for name, of in tasks.items():
        n = sum(map(len, of["differ"].values()))
        found.append({"rule": f"{name}: questions answered unlike lm-eval", "value": n, "bar": 0, "met": n == 0})
        if name in ratios:
            bar = float(ratios[name])
            rule = f"{name}: items/s over lm-eval's best, at least"
            found.append({"rule": rule, "value": of["ratio"], "bar": bar, "met": of["ratio"] >= bar})
    return found


def show(result: Json) -> None:
    """The table and the bars, for a terminal."""
    sizes = list(next(iter(result["tasks"].values()))["lm_eval_items_per_s"])
    heads = [f"lm-eval, batch {size}" for size in sizes]
    table = Table(
        "items/s", "n", "raypipe", *heads, "x", "x, CPU time", "likelihoods differ", title=f"{result['model']}, float32"
    )
    for name, of in result["tasks"].items():
        theirs = [f"{of['lm_eval_items_per_s'][size]:.2f}" for size in sizes]
        gap = f"{of['largest_relative_difference']:.0e}"
        table.add_row(
            name, str(of["n"]), f"{of['items_per_s']:.2f}", *theirs, f"{of['ratio']:.2f}", f"{of['cpu_ratio']:.2f}", gap
        )
    console = Console(width=130)
    console.print(table)
    console.print(f"{result['threads']} threads each, in turn; {result['versions']}")
    for bar in result["bars"]:
        console.print(f"{'met' if bar['met'] else 'MISSED'}: {bar['rule']}: {bar['value']:.3g} (bar {bar['bar']:g})")
