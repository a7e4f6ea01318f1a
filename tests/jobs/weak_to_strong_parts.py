"""A small world in which a strong model knows what a weak one can't learn from few labels.

Texts are a few neutral words and two of 80 mood words, all of them nonsense; the label is their mood. A half of the
rows shows each mood word a few times; the strong model has met them all in other rows.
"""

import json

import numpy as np
import torch

from jobs.weak_to_strong import Config
from raypipe.contracts.rows import Document
from raypipe.lm.packing import pack
from raypipe.losses.soft_labels import CrossEntropy
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.settings.nested import built
from raypipe.train.tasks.soft_labels import SoftLabelHead
from tests.learning import SEED

LETTERS = np.random.default_rng(0).permutation([a + b + c for a in "bdfgk" for b in "aeiou" for c in "lmnrst"])
NEUTRAL, MOODS = LETTERS[:6].tolist(), LETTERS[6:86].reshape(2, 40).tolist()
EVIDENCE = ("lower", "upper")


def texts(n, *, seed, n_moods=2):
    """n rows {text, label}, each with so many mood words."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        label = int(rng.integers(2))
        words = [*rng.choice(NEUTRAL, 3), *rng.choice(MOODS[label], n_moods)]
        rng.shuffle(words)
        rows.append({"text": f"{' '.join(words)} {number}", "label": label})
    return rows


def strong_model(folder, *, n_rows=600, steps=240):
    """A causal LM whose body has learnt the moods; its tokenizer has a token for each word."""
    words = " ".join([*NEUTRAL, *MOODS[0], *MOODS[1], *EVIDENCE, "0 1 2 3 4 5 6 7 8 9"])
    train_tokenizer([f"{words} {words}"] * 3, vocabulary_size=600, folder=folder)
    vocabulary = open_vocabulary(str(folder))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=64, end=vocabulary.end)
    causal = new_model(config, seed=0, initialisation="normal")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the head's weights are the same whatever test ran before
        task = SoftLabelHead(_on_body(causal), CrossEntropy(), n_steps=steps)
    rows = texts(n_rows, seed=99)
    documents = [
        Document(np.array(vocabulary.backend.encode(row["text"]).ids, np.int32), "all", "", at)
        for at, row in enumerate(rows)
    ]
    labels = torch.eye(2)[[row["label"] for row in rows]]
    optimiser = torch.optim.AdamW(task.module.parameters(), lr=3e-3)
    for step in range(steps):
        chosen = np.random.default_rng(step).integers(0, n_rows, 32)
        logits = task.module(pack([documents[at].ids for at in chosen], device=torch.device("cpu")))
        optimiser.zero_grad()
        CrossEntropy()(logits, labels[chosen], 0.0).mean().backward()
        optimiser.step()
    causal.save_pretrained(folder)
    return str(folder)


def _on_body(causal):
    from transformers import LlamaForSequenceClassification

    classifier = LlamaForSequenceClassification(causal.config)
    classifier.model = causal.model
    return classifier


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def settings(data, strong, output, **changes):
    """A run of a few seconds."""
    return built(Config, **{
        "data": (data,), "strong": strong, "weak": "tiny", "output": str(output), "length": 32, "seeds": 3,
        "test_share": 0.4, "batch_examples": 16, "micro_batch": 16, "learning_rate": 1e-3, "weak_learning_rate": 2e-3,
        "weight_decay": 0.0, "seed": SEED, "epochs": 2.0, "weak_epochs": 3.0, "cpus_per_worker": 1, **changes,
    })  # fmt: skip


class Witness:
    """A debater whose last turn names the label with a word, right in `trust` of the cases, by its own seed."""

    def __init__(self, *, trust):
        self.trust = trust

    def __call__(self, prompts, seeds):
        pairs = zip(prompts, seeds, strict=True)
        return [self._turn(prompt, seed) if "objections" in prompt else "" for prompt, seed in pairs]

    def _turn(self, prompt, seed):
        label = int(any(word in prompt.split("Text:\n")[1].split("\n")[0].split() for word in MOODS[1]))
        is_right = np.random.default_rng(seed).random() < self.trust
        return EVIDENCE[label if is_right else 1 - label]
