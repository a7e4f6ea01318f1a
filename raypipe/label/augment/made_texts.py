"""What is kept of generated texts: no copies, none far from its class, and every row's parent, seed and score.

Source: M. Bayer et al., Data Augmentation in Natural Language Processing: A Novel Text Generation Approach for Long and
Short Text Classifiers, IJMLC 2022 (arXiv 2103.14453; its abstract): texts generated from a class are kept where they
are near enough to it in an embedding space.
Departures: no person reads down the sorted texts; the bound of a class is a quantile of how near each of its own texts
is to the mean of the others, and the report says that this rule chose. Copies, doubles and texts of a word or two go
before.
Cost: one vector a text, O(n d).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raypipe.label.label_vectors import at_length_one

COPY, DOUBLE, SHORT, FAR = "a copy", "a double", "too short", "far from its class"
MIN_WORDS = 3


@dataclass(frozen=True)
class MadeText:
    """A generated text and where it comes from."""

    text: str
    label: str
    parent: int | None
    """The row that it was made from; None: from its whole class."""
    generator: str
    seed: int
    similarity: float | None = None
    """Cosine to the mean of its class, once it is measured."""
    left_out: str | None = None
    """Why it isn't kept; None: it is."""


Generator = Callable[[Sequence[str], int, int], list[tuple[str, int | None]]]
"""Texts of a class, how many to make, a seed -> texts, each with the place of its parent."""
Embedder = Callable[[Sequence[str]], np.ndarray]


def augmented(
    texts: Sequence[str], labels: Sequence[str], generate: Generator, embed: Embedder, *, name: str,
    per_text: float = 4, quantile: float = 0.1, seed: int = 0,
) -> list[MadeText]:  # fmt: skip
    """What a generator makes of each class, `per_text` for each of its texts, and what is left out of it and why.

    `quantile`: of a class's own texts so many lie farther from the others' mean than its bound; 0 keeps all but copies.

    Raises
    ------
    ValueError
        If a class has fewer than two texts, a share is none, or nothing of a class is kept.
    """
    if not 0 <= quantile < 1 or per_text <= 0:
        raise ValueError(f"quantile must be from 0 to below 1 and per_text above 0, got {quantile} and {per_text}.")
    found: list[MadeText] = []
    for label in sorted(set(labels)):
        own = [at for at, of in enumerate(labels) if of == label]
        if len(own) < 2:
            raise ValueError(f"every class must have two texts at least, {label!r} has {len(own)}.")
        of_class = [texts[at] for at in own]
        made = [
            MadeText(text, label, None if parent is None else own[parent], name, seed)
            for text, parent in generate(of_class, round(per_text * len(own)), seed)
        ]
        kept = _near(_cleaned(made, of_class), of_class, embed, quantile)
        if not any(one.left_out is None for one in kept):
            why = ", ".join(f"{n} {reason}" for reason, n in Counter(one.left_out for one in kept).most_common())
            raise ValueError(f"nothing that {name} made of class {label!r} can be kept: {why or 'it made nothing'}.")
        found += kept
    return found


def copy_rate(made: Sequence[MadeText]) -> float:
    """The share of generated texts that are one of their class's own."""
    return sum(one.left_out == COPY for one in made) / max(1, len(made))


def _cleaned(made: list[MadeText], own: Sequence[str]) -> list[MadeText]:
    known, seen, found = {_plain(text) for text in own}, set[str](), []
    for one in made:
        plain = _plain(one.text)
        why = SHORT if len(plain.split()) < MIN_WORDS else COPY if plain in known else DOUBLE if plain in seen else None
        seen.add(plain)
        found.append(replace(one, left_out=why))
    return found


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _near(made: list[MadeText], own: Sequence[str], embed: Embedder, quantile: float) -> list[MadeText]:
    """Those that are clean with their similarity, and without what lies beyond the bound."""
    clean = [at for at, one in enumerate(made) if one.left_out is None]
    if not clean:
        return made
    real, new = at_length_one(embed(own)), at_length_one(embed([made[at].text for at in clean]))
    similarity = (new * at_length_one(real.mean(axis=0)[None])).sum(axis=1)
    bound = np.quantile(left_one_out(real), quantile) if quantile else -np.inf
    found = list(made)
    for at, near in zip(clean, similarity, strict=True):
        found[at] = replace(made[at], similarity=float(near), left_out=FAR if near < bound else None)
    return found


def left_one_out(X: np.ndarray) -> np.ndarray:
    """Cosine of each row of length 1 [n, d] to the mean of the others: [n]."""
    others = at_length_one(X.sum(axis=0) - X)
    found: np.ndarray = (X * others).sum(axis=1)
    return found
