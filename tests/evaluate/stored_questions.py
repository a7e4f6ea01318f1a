"""A small model with weights of numpy's, and questions that lm-eval has answered once with it."""

import json
from pathlib import Path

import numpy as np
import torch

from raypipe.evaluate.benchmarks import Item
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from tests.models.tokenizers_of_five_kinds import saved

STORED = Path(__file__).parent / "stored/lm_eval.json"
WORDS = [
    "river",
    "stone",
    "bread",
    "window",
    "little",
    "green",
    "under",
    "over",
    "carry",
    "night",
    "paper",
    "say",
    "no",
]


def save_model(folder: Path) -> str:
    """The model with its tokenizer, as a folder; the same weights on any processor."""
    vocabulary = open_vocabulary(saved("byte_level", folder))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=128, end=vocabulary.end)
    causal, rng = new_model(config, seed=0, initialisation="normal"), np.random.default_rng(0)
    with torch.no_grad():
        for _, weight in sorted(causal.named_parameters()):
            if weight.ndim == 2:  # large enough for likelihoods that differ
                weight.copy_(torch.from_numpy(rng.normal(0, 0.2, weight.shape).astype(np.float32)))
    causal.save_pretrained(folder)
    return str(folder)


def questions() -> list[Item]:
    """Two to four choices of one to six words after a question of three to thirty."""
    rng, found = np.random.default_rng(1), []
    for number in range(24):
        text = " ".join(rng.choice(WORDS, rng.integers(3, 30))) + "\nAnswer:"
        choices = tuple(" ".join(rng.choice(WORDS, rng.integers(1, 7))) for _ in range(int(rng.integers(2, 5))))
        ways = tuple(f" {one}" for one in choices)
        found.append(Item(f"{number}", (text,) * len(choices), ways, choices, int(rng.integers(len(choices))), "all"))
    return found


def stored() -> dict:
    """What lm-eval said, with its versions."""
    return json.loads(STORED.read_text())
