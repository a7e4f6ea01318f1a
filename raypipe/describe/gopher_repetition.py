"""Statistics of the repetition rules of Gopher: how much of a text says again what it has said.

Source: J. Rae et al., arXiv 2112.11446, section A.1.1 and table A1. Kept there: duplicate lines and paragraphs of at
most 30 % each, with at most 20 % of the characters each; the commonest run of 2, 3 and 4 words with at most 20, 18 and
16 % of the characters; runs of 5 to 10 words that stood before with at most 15, 14, 13, 12, 11 and 10 %.
Departures: characters of runs are counted as the released filters of FineWeb count them: with the spaces between words
for the commonest run, without for runs that stood before, which don't overlap and are taken from left to right.
Cost: a sort of the words for runs of two; of longer ones only those are looked at whose beginning is repeated.
"""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.arrays.hashing import splitmix64
from raypipe.describe.texts import CutTexts, Words

TOP, AGAIN = (2, 3, 4), (5, 6, 7, 8, 9, 10)
"""Words of the runs of which the commonest counts, and of those that count where they stand again."""
_PARAGRAPHS, _LINES = re.compile(r"\n{2,}"), re.compile(r"\n+")
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class GopherRepetition:
    r"""Shares of lines, paragraphs and characters that repeat others.

    >>> from raypipe.describe.texts import CutTexts
    >>> found = GopherRepetition()(CutTexts(["one line\none line\nanother", "all of it is said once"]))
    >>> {name: found[name].round(2).tolist() for name in ("duplicate_lines", "duplicate_line_chars", "top_2gram_chars")}
    {'duplicate_lines': [0.33, 0.0], 'duplicate_line_chars': [0.32, 0.0], 'top_2gram_chars': [0.64, 0.27]}
    """

    adds: ClassVar[pa.Schema] = pa.schema(
        [
            (name, pa.float64())
            for name in (
                "duplicate_lines",
                "duplicate_line_chars",
                "duplicate_paragraphs",
                "duplicate_paragraph_chars",
                *(f"top_{n}gram_chars" for n in TOP),
                *(f"duplicate_{n}gram_chars" for n in AGAIN),
            )
        ]
    )

    def __call__(self, texts: CutTexts) -> dict[str, np.ndarray]:
        """Columns [n], in [0, 1] but for a commonest run that overlaps itself."""
        paragraphs = np.array([duplicates(_PARAGRAPHS.split(text.strip())) for text in texts.texts]).reshape(-1, 2)
        lines = np.array([duplicates(_LINES.split(text)) for text in texts.texts]).reshape(-1, 2)
        found = {
            "duplicate_lines": lines[:, 0],
            "duplicate_line_chars": lines[:, 1] / texts.n_chars,
            "duplicate_paragraphs": paragraphs[:, 0],
            "duplicate_paragraph_chars": paragraphs[:, 1] / texts.n_chars,
        }
        return found | {name: chars / texts.n_chars for name, chars in runs(texts.words).items()}


def duplicates(parts: list[str]) -> tuple[float, int]:
    """Of parts, the share that stood before, and its characters."""
    different = set(parts)
    if len(different) == len(parts):
        return 0.0, 0
    return (len(parts) - len(different)) / len(parts), sum(map(len, parts)) - sum(map(len, different))


def runs(words: Words) -> dict[str, np.ndarray]:
    """By name, the characters [n] int64 of repeated runs of each text."""
    n = len(words.n)
    of_text = np.repeat(np.arange(n), words.n)
    left = np.repeat(words.starts[1:], words.n) - np.arange(len(of_text))  # words from here to the end of the text
    upto = np.concatenate([[0], np.cumsum(words.n_chars)])
    bits = splitmix64(words.number.astype(np.uint64))
    seed = splitmix64(of_text.astype(np.uint64) ^ _ODD)
    found = {}
    at = np.arange(len(of_text))
    for size in range(TOP[0], AGAIN[-1] + 1):
        at = at[left[at] >= size]
        group = _groups(_keys(bits, seed, at, size))
        count = np.bincount(group, minlength=1)[group]
        at, group, count = at[count > 1], group[count > 1], count[count > 1]  # what begins a longer run is among them
        if size in TOP:
            chosen = _commonest(of_text[at], at, count)
            chars = _first(words, upto, size)
            chars[of_text[chosen]] = (upto[chosen + size] - upto[chosen] + size - 1) * count[
                np.searchsorted(at, chosen)
            ]
            found[f"top_{size}gram_chars"] = chars
        else:
            found[f"duplicate_{size}gram_chars"] = _again(at, group, of_text, upto, size, n)
    return found


def _keys(bits: np.ndarray, seed: np.ndarray, at: np.ndarray, size: int) -> np.ndarray:
    """Equal for runs of the same words in the same text: [m] uint64."""
    keys = seed[at]
    for step in range(size):
        keys = keys * _ODD + bits[at + step]  # wraps around, as it should
    return np.asarray(keys)


def _groups(keys: np.ndarray) -> np.ndarray:
    """A small number for each different key [m]."""
    return np.asarray(np.unique(keys, return_inverse=True)[1].ravel())


def _first(words: Words, upto: np.ndarray, size: int) -> np.ndarray:
    """Characters of the first run of each text [n], 0 of a text that has none: the commonest, where none repeats."""
    start = np.minimum(words.starts[:-1], len(upto) - 1)
    stop = np.minimum(start + size, len(upto) - 1)
    return np.asarray(np.where(words.n >= size, upto[stop] - upto[start] + size - 1, 0))


def _commonest(of_text: np.ndarray, at: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Of each text that has repeated runs, where its commonest one begins; of equally common ones the first."""
    order = np.lexsort((at, -count, of_text))
    is_first = np.ones(len(order), bool)
    is_first[1:] = of_text[order][1:] != of_text[order][:-1]
    return np.asarray(at[order][is_first])


def _again(at: np.ndarray, group: np.ndarray, of_text: np.ndarray, upto: np.ndarray, size: int, n: int) -> np.ndarray:
    """Characters of runs that stood before: [n]; `at` are the places of repeated ones, rising.

    One that stood before is passed over whole, so that what begins inside it neither counts nor is remembered.
    """
    counted, seen, free = [], set[int](), 0
    for place, run in zip(at.tolist(), group.tolist(), strict=True):
        if place < free:
            continue
        if run in seen:
            counted.append(place)
            free = place + size
        else:
            seen.add(run)
    chosen = np.array(counted, np.int64)
    chars = upto[chosen + size] - upto[chosen]
    return np.asarray(np.bincount(of_text[chosen], weights=chars, minlength=n).astype(np.int64))
