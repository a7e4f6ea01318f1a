"""What a model makes of its own context: a list of tokens copied, a fact among many fetched.

Source: copying of random tokens as C. Olsson et al., In-context Learning and Induction Heads, arXiv 2209.11895;
fetching one of many like lines as N. Liu et al., Lost in the Middle, arXiv 2307.03172 (key-value retrieval).
Departures: names and numbers are made, so that nothing can be known by heart. An answer counts as given if each of its
tokens is the likeliest after those before it, which is what greedy decoding would write.
Cost: one forward pass, packed; no logits beyond those of the answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from raypipe.lm.decoder import Decoder
from raypipe.lm.loss import token_hits
from raypipe.lm.packing import pack
from raypipe.lm.plan import plan_batches
from raypipe.models.boundary import continued
from raypipe.models.tokenizer import Vocabulary

_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


@dataclass(frozen=True)
class Recall:
    """A context and what is to be said at its end."""

    name: str
    group: str
    ids: np.ndarray  # [t] int64
    is_asked: np.ndarray  # [t] bool: tokens that are to be said


def copies(vocabulary: Vocabulary, *, n: int, n_tokens: int, seed: int) -> list[Recall]:
    """`n` lists of random tokens, each twice; all of the second but its first token is asked for."""
    rng, special = np.random.default_rng([seed, n_tokens]), set(vocabulary.tokenizer.all_special_ids)
    usable = np.array([token for token in range(vocabulary.size) if token not in special])
    found = []
    for number in range(n):
        once = rng.choice(usable, n_tokens)
        before = [] if vocabulary.end is None else [vocabulary.end]
        ids = np.array([*before, *once, *once], np.int64)
        is_asked = np.arange(len(ids)) > len(before) + n_tokens
        found.append(Recall(f"copy {n_tokens} {number}", f"copy of {n_tokens} tokens", ids, is_asked))
    return found


def facts(vocabulary: Vocabulary, *, n: int, n_lines: int, seed: int) -> list[Recall]:
    """`n` lists of names with their numbers, one of which is asked for, at every depth alike often."""
    rng, found = np.random.default_rng([seed, n_lines, 1]), []
    for number in range(n):
        names = _names(rng, n_lines)
        numbers = rng.integers(10000, 99999, n_lines)
        asked = int((number + 0.5) * n_lines / n)
        lines = "".join(f"The number of {name} is {value}.\n" for name, value in zip(names, numbers, strict=True))
        both = continued(vocabulary, f"{lines}The number of {names[asked]} is", f" {numbers[asked]}")
        ids, group = np.array(both.ids, np.int64), f"one fact of {n_lines}"
        found.append(Recall(f"fact {n_lines} {number}", group, ids, both.is_second))
    return found


def recalled(
    decoder: Decoder, items: Sequence[Recall], *, budget: int, heed: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Share of each item's asked tokens that are the likeliest where they are to be said: [n]; `heed` may raise."""
    found, lengths = np.zeros(len(items)), np.array([len(item.ids) for item in items], np.int64)
    for batch in plan_batches(lengths, budget=max(budget, int(lengths.max(initial=0)))):
        heed()
        hits = _hits(decoder, [items[at] for at in batch])
        starts = np.cumsum([0, *(int(items[at].is_asked.sum()) for at in batch)])
        for at, start, stop in zip(batch, starts[:-1], starts[1:], strict=True):
            found[at] = hits[start:stop].mean()
    return found


@torch.inference_mode()
def _hits(decoder: Decoder, items: Sequence[Recall]) -> np.ndarray:
    batch = pack([item.ids for item in items], device=decoder.device)
    hidden = decoder(batch)[0]
    asked = torch.from_numpy(np.flatnonzero(np.concatenate([item.is_asked for item in items]))).to(decoder.device)
    return np.asarray(token_hits(hidden[asked - 1], decoder.head, batch.tokens[asked]).cpu().numpy())


def _names(rng: np.random.Generator, n: int) -> list[str]:
    names: dict[str, None] = {}
    while len(names) < n:
        names["".join(rng.choice(_SYLLABLES, 3)).capitalize()] = None
    return list(names)
