"""Multiple choice by lm-eval's own hf model and task: python lm_eval_side.py ASKED.json ANSWERED.json.

ASKED holds model (a folder), threads, batch_sizes, and tasks: name -> rows of text, choices, gold. ANSWERED gets, by
task and batch size, the seconds of `loglikelihood` by the clock and of the CPU (tokenising and model, no loading), and
by task the log-likelihoods of the choices and whether acc and acc_norm count each row as right. Imports nothing of
raypipe.
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(asked: Path, answered: Path) -> None:
    """Answer what is asked."""
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    given = json.loads(asked.read_text())
    torch.set_num_threads(given["threads"])
    seconds: list[tuple[float, float]] = []

    class Timed(HFLM):
        """The model as it is, with a clock around its work."""

        def loglikelihood(self, *arguments: Any, **named: Any) -> Any:
            start, cpu = time.perf_counter(), time.process_time()
            found = super().loglikelihood(*arguments, **named)
            seconds.append((time.perf_counter() - start, time.process_time() - cpu))
            return found

    found: dict[str, Any] = {
        "versions": {name: version(name) for name in ("lm-eval", "torch", "transformers", "tokenizers")},
        "tasks": {name: {"seconds": {}} for name in given["tasks"]},
    }
    with tempfile.TemporaryDirectory() as folder:
        manager = TaskManager(include_defaults=False)  # it would read thousands of files that aren't asked for
        configs = [task_config(name, rows, Path(folder)) for name, rows in given["tasks"].items()]
        for size in given["batch_sizes"]:
            model = Timed(pretrained=given["model"], dtype="float32", device="cpu", batch_size=size)
            for config in configs:
                out = lm_eval.simple_evaluate(
                    model, tasks=[config], bootstrap_iters=0, log_samples=True, task_manager=manager
                )
                found["tasks"][config["task"]]["seconds"][str(size)] = seconds[-1]
                found["tasks"][config["task"]]["items"] = [as_item(sample) for sample in rows_of(out, config["task"])]
    answered.write_text(json.dumps(found))


def task_config(name: str, rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """A multiple-choice task over rows, as a YAML file of lm-eval's would have it."""
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(file)}},
        "test_split": "test", "output_type": "multiple_choice", "doc_to_text": "{{text}}", "doc_to_choice": "choices",
        "doc_to_target": "gold", "target_delimiter": " ",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }  # fmt: skip


def rows_of(out: dict[str, Any], task: str) -> list[dict[str, Any]]:
    """The logged samples in their order."""
    return sorted(out["samples"][task], key=lambda sample: sample["doc_id"])


def as_item(sample: dict[str, Any]) -> dict[str, Any]:
    """What is compared of a row."""
    return {
        "log_likelihood": [float(response[0][0]) for response in sample["resps"]],
        "right": {"raw": bool(sample["acc"]), "per_byte": bool(sample["acc_norm"])},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
