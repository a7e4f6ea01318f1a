"""Letters for choices, each a single token of the tokenizer at hand.

Source: Lawma (arXiv 2407.16615), its prompts: A to Z, beyond 26 choices other characters of one token.
Departure: beyond 26 the labels go on after Z with pairs of capitals (AA, AB, ...), then with single letters of other
alphabets, whatever the tokenizer has; the paper's are CJK characters for all choices of such a task.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from string import ascii_uppercase

import numpy as np

from raypipe.models.tokenizer import Vocabulary

CUE = "Answer:"
"""What a prompt ends with; labels are single tokens after it."""


@dataclass(frozen=True)
class Labels:
    """Names of choices, in their order, and their tokens."""

    names: tuple[str, ...]
    ids: np.ndarray  # [k] int64


def continuation(vocabulary: Vocabulary, text: str) -> list[int] | None:
    """Tokens of a text where it follows the cue; None if the tokenizer melts the two together."""
    cue, whole = (vocabulary.backend.encode(part, add_special_tokens=False).ids for part in (CUE, CUE + text))
    return list(whole[len(cue) :]) if whole[: len(cue)] == cue else None


def find_labels(vocabulary: Vocabulary, n: int) -> Labels:
    """The first `n` labels that are, behind a space, one token each and all different.

    Raises
    ------
    ValueError
        If the tokenizer has fewer.
    """
    found: dict[int, str] = {}
    for name in _candidates(vocabulary):
        if len(found) >= n:
            break
        ids = continuation(vocabulary, f" {name}")
        if ids is not None and len(ids) == 1:
            found.setdefault(ids[0], name)
    if len(found) < n:
        raise ValueError(
            f"a task's choices must have labels of a single token each, {n} of them, but the tokenizer has "
            f"{len(found)}; take one with a larger vocabulary, or ask with fewer choices."
        )
    return Labels(tuple(found.values()), np.array(list(found), np.int64))


def _candidates(vocabulary: Vocabulary) -> Iterator[str]:
    yield from ascii_uppercase
    yield from map("".join, product(ascii_uppercase, repeat=2))
    yield from _other_letters(vocabulary)


@lru_cache(maxsize=4)
def _other_letters(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Letters beyond ASCII that some token is, with or without a space; in the order of Unicode."""
    texts = (vocabulary.backend.decode([number]).strip() for number in range(vocabulary.size))
    return tuple(sorted({text for text in texts if len(text) == 1 and text.isalpha() and not text.isascii()}))
