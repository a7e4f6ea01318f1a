"""What is kept of generated texts: no copies, none far from its class, and every row's origin and scores.

Source: M. Bayer et al., Data Augmentation in Natural Language Processing: A Novel Text Generation Approach for Long and
Short Text Classifiers, IJMLC 2022 (arXiv 2103.14453; its abstract): texts generated from a class are kept where they
are near enough to it in an embedding space.
Departures: where no person has read down the sorted texts and set a class's bound, it is a quantile of how near each
of the class's own texts is to the mean of the others, and the report says that this rule chose. Copies, doubles and
texts of a word or two go before, and on demand texts that are copied for the most part.
Cost: one vector a text; O(n m d) for the nearest of m originals.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from raypipe.label.augment.generators import Draft, Generator
from raypipe.label.label_vectors import at_length_one

COPY, DOUBLE, SHORT, FAR, COPIED = "a copy", "a double", "too short", "far from its class", "mostly copied"
MIN_WORDS, RUN = 3, 8
"""Of a text that is kept; of words in a row that stand in an original too, where a text counts as copied."""


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
    prompt: str | None = None
    temperature: float | None = None
    copied: float = 0.0
    """The share of its words that stand in runs of eight words of an original of its class."""
    nearest: int | None = None
    """The row of its class that it is most similar to."""
    nearest_similarity: float | None = None
    """Cosine to that one."""


Embedder = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """Which generated texts are kept."""

    quantile: float = 0.1
    """Of a class's own texts so many lie farther from the others' mean than its bound; 0 keeps all."""
    max_copied: float = 1.0
    """Share of a text's words that may stand in runs of eight words of an original; 1: any."""

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises
        ------
        ValueError
            With both.
        """
        if not 0 <= self.quantile < 1 or not 0 <= self.max_copied <= 1:
            raise ValueError(
                f"quantile must be from 0 to below 1 and max_copied from 0 to 1, got {self.quantile} and "
                f"{self.max_copied}."
            )


def augmented(
    texts: Sequence[str], labels: Sequence[str], generate: Generator, embed: Embedder, *, name: str,
    per_text: float = 4, quantile: float = 0.1, seed: int = 0,
) -> list[MadeText]:  # fmt: skip
    """What a generator makes of each class, `per_text` for each of its texts, and what is left out of it and why.

    Raises
    ------
    ValueError
        If a class has fewer than two texts, a share is none, or nothing of a class is kept.
    """
    if per_text <= 0:
        raise ValueError(f"per_text must be above 0, got {per_text}.")
    drafts = {
        label: generate([texts[at] for at in own], round(per_text * len(own)), seed)
        for label, own in rows_of_classes(labels).items()
    }
    return sifted(texts, labels, drafts, embed, name=name, seed=seed, keeping=Keeping(quantile=quantile))


def rows_of_classes(labels: Sequence[str]) -> dict[str, list[int]]:
    """The rows of each class, classes in the order of the alphabet.

    Raises
    ------
    ValueError
        If a class has fewer than two.
    """
    found = {label: [at for at, of in enumerate(labels) if of == label] for label in sorted(set(labels))}
    for label, own in found.items():
        if len(own) < 2:
            raise ValueError(f"every class must have two texts at least, {label!r} has {len(own)}.")
    return found


def sifted(
    texts: Sequence[str], labels: Sequence[str], drafts: Mapping[str, Sequence[Draft]], embed: Embedder, *, name: str,
    seed: int, keeping: Keeping = Keeping(), bounds: Mapping[str, float] = MappingProxyType({}),
) -> list[MadeText]:  # fmt: skip
    """The drafts of each class with their scores, and why some are left out; `bounds`: cosines that a person set.

    Raises
    ------
    ValueError
        If a class has fewer than two texts, a share is none, or nothing of a class is kept.
    """
    keeping.check()
    found: list[MadeText] = []
    for label, own in rows_of_classes(labels).items():
        of_class = [texts[at] for at in own]
        made = [
            MadeText(
                one.text, label, None if one.parent is None else own[one.parent], name, seed, prompt=one.prompt,
                temperature=one.temperature,
            )
            for one in drafts[label]
        ]  # fmt: skip
        kept = _near(_cleaned(made, of_class, keeping.max_copied), own, of_class, embed, keeping, bounds.get(label))
        if not any(one.left_out is None for one in kept):
            why = ", ".join(f"{n} {reason}" for reason, n in Counter(one.left_out for one in kept).most_common())
            raise ValueError(f"nothing that {name} made of class {label!r} can be kept: {why or 'it made nothing'}.")
        found += kept
    return found


def copy_rate(made: Sequence[MadeText]) -> float:
    """The share of generated texts that are one of their class's own."""
    return sum(one.left_out == COPY for one in made) / max(1, len(made))


def copied_share(text: str, runs: set[tuple[str, ...]]) -> float:
    """The share of a text's words that stand in runs of eight words which are among `runs`."""
    words = _plain(text).split()
    is_copied = np.zeros(len(words), bool)
    for start in range(len(words) - RUN + 1):
        if tuple(words[start : start + RUN]) in runs:
            is_copied[start : start + RUN] = True
    return float(is_copied.mean()) if words else 0.0


def _cleaned(made: list[MadeText], own: Sequence[str], max_copied: float) -> list[MadeText]:
    known, seen, found = {_plain(text) for text in own}, set[str](), []
    words = [text.split() for text in known]
    runs = {tuple(of[start : start + RUN]) for of in words for start in range(len(of) - RUN + 1)}
    for one in made:
        plain, copied = _plain(one.text), copied_share(one.text, runs)
        why = SHORT if len(plain.split()) < MIN_WORDS else COPY if plain in known else DOUBLE if plain in seen else None
        seen.add(plain)
        found.append(replace(one, copied=copied, left_out=why or (COPIED if copied > max_copied else None)))
    return found


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _near(
    made: list[MadeText], rows: Sequence[int], own: Sequence[str], embed: Embedder, keeping: Keeping,
    bound: float | None,
) -> list[MadeText]:  # fmt: skip
    """Those that are clean with their similarities, and without what lies beyond the bound."""
    clean = [at for at, one in enumerate(made) if one.left_out is None]
    if not clean:
        return made
    real, new = at_length_one(embed(own)), at_length_one(embed([made[at].text for at in clean]))
    similarity = (new * at_length_one(real.mean(axis=0)[None])).sum(axis=1)
    if bound is None:
        bound = float(np.quantile(left_one_out(real), keeping.quantile)) if keeping.quantile else -np.inf
    to_each = new @ real.T  # [clean, own]
    nearest, found = to_each.argmax(axis=1), list(made)
    for at, near, of, alike in zip(clean, similarity, nearest, to_each.max(axis=1), strict=True):
        found[at] = replace(
            made[at], similarity=float(near), nearest=rows[int(of)], nearest_similarity=float(alike),
            left_out=FAR if near < bound else None,
        )  # fmt: skip
    return found


def left_one_out(X: np.ndarray) -> np.ndarray:
    """Cosine of each row of length 1 [n, d] to the mean of the others: [n]."""
    others = at_length_one(X.sum(axis=0) - X)
    found: np.ndarray = (X * others).sum(axis=1)
    return found
