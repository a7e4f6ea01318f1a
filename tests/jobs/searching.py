"""A tiny finetune to search over: a model of few tokens, rows of three colours, its settings."""

import json
from pathlib import Path

import yaml

from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer

COLOURS = ["red", "green", "blue"]
BASE = {"length": 64, "batch_examples": 4, "micro_batch": 4, "steps": 4, "heldout_every": 2, "heldout_share": 0.2}


def write_model(folder: Path) -> str:
    """A random model that knows the words of the rows."""
    train_tokenizer(["the colour is red green blue " * 3], vocabulary_size=280, folder=folder)
    vocabulary = open_vocabulary(str(folder))
    sizes = config_of("tiny", vocabulary_size=vocabulary.size, length=64, end=vocabulary.end)
    new_model(sizes, seed=0, initialisation="normal").save_pretrained(folder)
    return str(folder)


def write_rows(folder: Path) -> None:
    """What is learnt, as data.jsonl."""
    rows = [{"prompt": f"{colour} {n}: ", "answer": colour, "label": colour} for n in range(8) for colour in COLOURS]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_settings(folder: Path, *, base=None, space=None, model=None) -> None:
    """base.yaml, with what differs from before, and space.yaml; what is None stays."""
    if base is not None:
        given = BASE if model is None else {**BASE, "model": model, "data": [str(folder / "data.jsonl")]}
        before = yaml.safe_load((folder / "base.yaml").read_text()) if (folder / "base.yaml").exists() else given
        (folder / "base.yaml").write_text(yaml.safe_dump({**before, **base}))
    if space is not None:
        (folder / "space.yaml").write_text(yaml.safe_dump(space))
