"""Generators that need no language model: swaps and deletions of words, and chains of a class's word triples.

Source: J. Wei and K. Zou, EDA: Easy Data Augmentation, EMNLP 2019, section 2 (random swap and random deletion; the two
that need synonyms are left out); word triples are the floor that a language model must beat.
Cost: O(words).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

START, END = "\0start", "\0end"


@dataclass(frozen=True)
class Draft:
    """A text as a generator made it."""

    text: str
    parent: int | None = None
    """Place among the class's texts of the one that it was made from; None: it was made from all of them."""
    prompt: str | None = None
    """What a language model was given to go on from."""
    temperature: float | None = None
    """That it was sampled at."""


Generator = Callable[[Sequence[str], int, int], list[Draft]]
"""Texts of a class, how many to make, a seed -> these."""


def swaps_and_deletions(texts: Sequence[str], n: int, seed: int, *, share: float = 0.1) -> list[Draft]:
    """n texts, from each of a class by turns, in which a share of the words changed places or is gone."""
    rng, found = np.random.default_rng(seed), []
    for at in range(n):
        parent = at % len(texts)
        words = texts[parent].split()
        n_changes = max(1, round(share * len(words)))
        if at // len(texts) % 2:
            kept = rng.random(len(words)) >= share
            words = [word for word, stays in zip(words, kept, strict=True) if stays] or words[:1]
        else:
            for _ in range(n_changes):
                a, b = rng.integers(len(words), size=2) if words else (0, 0)
                if words:
                    words[a], words[b] = words[b], words[a]
        found.append(Draft(" ".join(words), parent))
    return found


def word_triples(texts: Sequence[str], n: int, seed: int, *, max_words: int = 60) -> list[Draft]:
    """n texts whose every word has followed the two before it somewhere in the class.

    Raises
    ------
    ValueError
        If no text has a word.
    """
    follows: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        before = (START, START)
        for word in [*text.split(), END]:
            follows.setdefault(before, []).append(word)
            before = (before[1], word)
    if set(follows.get((START, START), [END])) == {END}:
        raise ValueError("word triples need a text with a word at least, and none has one.")
    rng = np.random.default_rng(seed)
    return [Draft(_chain(follows, rng, max_words)) for _ in range(n)]


def _chain(follows: dict[tuple[str, str], list[str]], rng: np.random.Generator, max_words: int) -> str:
    words, before = list[str](), (START, START)
    while len(words) < max_words:
        choices = follows[before]
        word = choices[int(rng.integers(len(choices)))]
        if word == END:
            break
        words.append(word)
        before = (before[1], word)
    return " ".join(words)
