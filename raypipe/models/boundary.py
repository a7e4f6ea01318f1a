"""Token ids of a text that goes on, told apart where its first part ends: the boundary is the text's own.

Both parts are tokenised as the one text that they are. What the tokenizer puts before a text (a BOS, [CLS]) stays,
what it puts after one (an EOS, [SEP]) goes, as the text goes on. Tokenised apart and joined, the second part would
begin with a blank where a tokenizer puts one before every text, and follow an end of text where it adds one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.models.tokenizer import Vocabulary


@dataclass(frozen=True)
class Continued:
    """Ids of a text of two parts."""

    ids: list[int]  # [t]
    is_second: np.ndarray  # [t] bool
    """Tokens that hold a sign of the second part; one that holds signs of both is among them."""


def opened(vocabulary: Vocabulary, text: str) -> list[int]:
    """Ids of a text that goes on: with what the tokenizer puts before it, without what it puts after it."""
    return _opened(vocabulary, text)[0]


def continued(vocabulary: Vocabulary, first: str, second: str) -> Continued:
    """Ids of `first + second`, and which of them are the second's."""
    ids, offsets = _opened(vocabulary, first + second)
    return Continued(ids, np.array([stop > len(first) for _, stop in offsets], bool))


def scored_way(vocabulary: Vocabulary, context: str, way: str) -> Continued:
    """Ids of a way to go on after a context, with which of them are the way's: what likelihoods are asked of.

    Blanks that end the context are the way's; without a context a begin of text stands before, or the end of one.
    """
    kept = context.rstrip()
    both = continued(vocabulary, kept, context[len(kept) :] + way)
    before = _before(vocabulary) if both.is_second.all() else []
    return Continued([*before, *both.ids], np.append(np.zeros(len(before), bool), both.is_second))


def _before(vocabulary: Vocabulary) -> list[int]:
    return opened(vocabulary, "") or ([vocabulary.end] if vocabulary.end is not None else [])


def _opened(vocabulary: Vocabulary, text: str) -> tuple[list[int], Sequence[tuple[int, int]]]:
    """Ids and offsets without the special tokens that are added at the end."""
    encoding = vocabulary.backend.encode(text, add_special_tokens=True)
    stop = len(encoding.ids) - _run(encoding.special_tokens_mask[::-1])
    if stop <= 0:  # nothing of the text's own is between those before and those after; look at a text that has some
        encoding = vocabulary.backend.encode("a", add_special_tokens=True)
        stop = _run(encoding.special_tokens_mask)
    return list(encoding.ids[:stop]), encoding.offsets[:stop]


def _run(mask: Sequence[int]) -> int:
    """How many of the first ones are set."""
    return next((at for at, is_set in enumerate(mask) if not is_set), len(mask))
