"""Evaluations made up for tests: of many tasks, of several seeds, and of a kind that the report doesn't know."""

import json
from typing import Any

from raypipe.storage.folder import Folder


def ends(mean: float, half: float = 0.1) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half}


CONTENDERS = ("majority", "tf-idf", "zero-shot", "finetuned")


def task(n: int, *means: float) -> dict[str, Any]:
    own = {name: ends(mean) for name, mean in zip(CONTENDERS, means, strict=True)}
    minus = {name: {**ends(means[-1] - mean), "shown": abs(means[-1] - mean) > 0.1} for name, mean in
             zip(CONTENDERS[:-1], means, strict=False)}  # fmt: skip
    natural = {name: ends(mean + 0.02) for name, mean in zip(CONTENDERS, means, strict=True)}
    return {"n": n, "accuracy": own, "natural": natural, "finetuned minus": minus}


CHOICES = {
    "ours": "finetuned", "contenders": list(CONTENDERS), "interval": "intervals hold 95 % of the resamples of cases",
    "left_out": {"no answer": 3},
    "tasks": {"banking": task(75, 0.2, 0.893, 0.2, 0.347), "spam <b>": task(88, 0.5, 0.92, 0.5, 0.909)},
    "mean_over_tasks": task(163, 0.35, 0.906, 0.36, 0.628),
}  # fmt: skip
SEEDS = {
    "seeds": [0, 1, 2],
    "test_accuracy": {
        "weak": {"mean": 0.604, "interval": [0.559, 0.647]}, "ceiling": {"mean": 0.731, "interval": [0.519, 0.872]},
        "strong-xent": {"mean": 0.68, "interval": [0.61, 0.74]},
        "majority": {"mean": 0.487, "interval": [0.487, 0.487]},
    },
    "recovered": {"strong-xent": {"pgr": 0.61, "interval": [0.2, 0.9], "withheld": None}},
    "weak_labels": {"weak": {"mean": 0.618, "interval": [0.531, 0.698]}},
    "controls": {"shuffled labels against the majority": {"advantage": 0.001, "standard_error": 0.023, "passed": True}},
}  # fmt: skip


def write_evaluations(run: Folder) -> None:
    """Write one of each kind."""
    other = {"kind": "something new", "macro": {"f1": 0.75}, "per_class": [1, 2]}
    for name, content in (("finetune/evaluation.json", CHOICES), ("weak_to_strong/results.json", SEEDS),
                          ("classify/evaluation.json", other)):  # fmt: skip
        run.write(name, json.dumps(content).encode())
