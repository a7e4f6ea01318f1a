"""Runs that an earlier raypipe has made and that are stored beside this file, and the inputs that they were made of.

The inputs are made of whole numbers and written out by hand, so that they have the same bytes on every machine. To
store runs anew, after a change that is meant to end their being gone on with: `python -m tests.jobs.stored_runs`.
"""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

STORED = Path(__file__).parent / "stored/runs"
MADE_NS = 1_700_000_000_000_000_000
"""When the corpus was written, which is part of its shards' names."""
MARK = "<|end|>"
COMMANDS: dict[str, tuple[str, str]] = json.loads((Path(__file__).parent / "stored/commands.json").read_text())
"""The job that makes each stage, and its settings."""


def words_of(stage: str, *, inputs: Path, run: Path) -> tuple[str, list[str]]:
    """The job that makes a stage, and its command line."""
    job, words = COMMANDS[stage]
    folder = ["--run" if job == "select_corpus" else "--output", str(run)]
    return job, [word.replace("{inputs}", str(inputs)) for word in words.split()] + folder


def run(stage: str, *, inputs: Path, run: Path, more: tuple[str, ...] = ()) -> int:
    """Run a stage's command in this process: its exit status."""
    from jobs.parts import settings

    job, words = words_of(stage, inputs=inputs, run=run)
    module = importlib.import_module(f"jobs.{job}")
    return int(module.main(settings.parse(module.Config, [*words, *more])))


def make_inputs(folder: Path) -> Path:
    """Rows, questions, a model of two layers with its tokenizer, and heads of it."""
    folder.mkdir(parents=True)
    colours = ("red", "green", "blue", "grey")
    rows = [
        {"text": f"row {n} is {colours[n % 4]}, and says so {n % 7 + 1} times. " * (1 + n % 3), "source": "ab"[n % 2],
         "label": n % 4} for n in range(60)
    ]  # fmt: skip
    questions = [
        {"task": "colour", "instruction": "Read.", "text": row["text"], "question": "Which colour?",
         "choices": list(colours), "answer": colours[row["label"]], "case": str(n)} for n, row in enumerate(rows)
    ]  # fmt: skip
    for name, found in (("rows", rows), ("questions", questions)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
        os.utime(path, ns=(MADE_NS, MADE_NS))
    make_model(folder / "model")
    (folder / "heads.json").write_text(json.dumps(heads_of(folder / "model")))
    return folder


def make_model(folder: Path) -> None:
    """Weights are multiples of 1/256, so that none is rounded."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    folder.mkdir()
    write_tokenizer(folder)
    shape = LlamaConfig(
        vocab_size=264, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    drawn = np.random.default_rng(0)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            weight.copy_(torch.from_numpy(drawn.integers(-64, 65, tuple(weight.shape)) / 256))
    model.save_pretrained(folder)


def write_tokenizer(folder: Path) -> None:
    """Every byte a token, the letters that choices go by with their blank, and one that ends a text."""
    signs = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves
    rest = [byte for byte in range(256) if byte not in signs]
    alphabet = [chr(sign) for sign in signs] + [chr(256 + at) for at in range(len(rest))]
    blank = alphabet[len(signs) + rest.index(32)]
    letters = {f"{blank}{letter}": 257 + at for at, letter in enumerate("ABCDEF")}
    end = {"id": 256, "content": MARK, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
           "special": True}  # fmt: skip
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    backend = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {sign: at for at, sign in enumerate(alphabet)} | letters,
                  "merges": [[blank, letter[1:]] for letter in letters]},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(backend))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": MARK})
    )


def heads_of(model: Path) -> dict[str, Any]:
    """A record of heads that were never checked."""
    from raypipe.models.causal import open_model

    effect = {"loss": 1.0, "accuracy": 0.9, "prose_loss": 3.0}
    return {
        "model": {"ref": "x", "sha256": open_model(str(model)).sha256(), "n_layers": 2, "n_heads": 4},
        "chosen": [[1, 0], [1, 2]], "retrieval_scores": [[0.0] * 4, [1.0, 0.0, 1.0, 0.0]],
        "causal_check": {
            "intact": effect, "chosen": effect, "draws": [effect], "passed": True,
            "rules": [{"rule": "rise", "value": 4.0, "bar": 3.0, "passed": True}],
        },
    }  # fmt: skip


def store(folder: Path) -> None:
    """Make every stage in a run, and keep its cards and tables; no model, checkpoint or report."""
    inputs, made = make_inputs(folder / "inputs"), folder / "run"
    for stage in COMMANDS:
        assert run(stage, inputs=inputs, run=made) == 0, stage
    shutil.rmtree(STORED, ignore_errors=True)
    for path in made.rglob("*"):
        below = path.relative_to(made)
        is_kept = path.suffix in (".parquet", ".zst") and len(below.parts) == 2 and below.parts[0] != "progress"
        if path.is_file() and (path.name == "card.json" or is_kept or below.parts[0] == "heads"):
            (STORED / below).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, STORED / below)


if __name__ == "__main__":
    store(Path(sys.argv[1]))
