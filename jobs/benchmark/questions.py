"""Questions for the evaluation benchmark: those of files, or made of the embedded sample in two shapes."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np

from raypipe import sample
from raypipe.evaluate.benchmarks import Form, Item, read_items

SHAPES = {"long_question": (24, 4, 4), "short_question": (9, 20, 2)}
"""Words of the question, of a choice, and choices, about as ARC's and PIQA's."""


def questions(files: tuple[str, ...], *, n: int, seed: int = 0) -> dict[str, list[Item]]:
    """By name, the first n questions of each `NAME=FILE`; without files, n of each shape made of the sample."""
    if not files:
        return {name: made(name, n=n, seed=seed) for name in SHAPES}
    named = {name: file for name, _, file in (one.partition("=") for one in files)}
    return {name: read_items(file, Form(), limit=n) for name, file in named.items()}


def made(shape: str, *, n: int, seed: int) -> list[Item]:
    """Which words go on the text: the right ones are those that did, the others come from other texts."""
    n_before, n_after, k = SHAPES[shape]
    rng, pieces = np.random.default_rng(seed), _pieces(n_before, n_after)
    found = []
    for number, at in enumerate(rng.permutation(len(pieces))[:n]):
        gold = int(rng.integers(k))
        others = [pieces[other][1] for other in rng.choice(len(pieces), k, replace=False)]
        choices = tuple(pieces[at][1] if place == gold else one for place, one in enumerate(others))
        ways = tuple(f" {one}" for one in choices)
        found.append(Item(f"{shape} {number}", (pieces[at][0],) * k, ways, choices, gold, "all"))
    if len(found) < n:
        raise ValueError(f"items must be at most {len(found)}, of which the sample has enough, got {n}.")
    return found


def _pieces(n_before: int, n_after: int) -> list[tuple[str, str]]:
    """Runs of words of the sample and what follows each."""
    texts = [
        json.loads(line)["text"].split()
        for file in sorted(Path(sample.corpus_folder()).glob("*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    size = n_before + n_after
    return [
        (" ".join(words[start : start + n_before]), " ".join(words[start + n_before : stop]))
        for words in texts
        for start, stop in pairwise(range(0, len(words) + 1, size))
    ]
