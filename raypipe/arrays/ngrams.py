"""Runs of words that two texts share, found exactly: hashes look, the words themselves decide.

Source: T. Brown et al., Language Models are Few-Shot Learners, arXiv 2005.14165, appendix C: 13-grams of words, in
lower case and without punctuation.
Departures: signs of any script are words; a text shorter than n words is sought whole, if it has enough of them.
Cost: O(n) a word for looking and for building; 40 bytes a distinct n-gram, and the texts that were given.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

WORD = re.compile(r"\w+")
N, MIN_WORDS = 13, 8
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no word's bits are lost


@dataclass(frozen=True)
class Match:
    """A run of words of a text that one of those sought has too."""

    owner: int
    """Number of the text that was sought."""
    words: str
    """The run, as it was compared."""


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, without what stands between them."""
    return WORD.findall(text.lower())


class NGrams:
    """What is sought: the n-grams of texts, numbered in their order."""

    def __init__(self, texts: Iterable[str], *, n: int = N, min_words: int = MIN_WORDS) -> None:
        if not 1 <= min_words <= n:
            raise ValueError(f"min_words must be between 1 and n, got {min_words} and {n}.")
        self.n, self.min_words = n, min_words
        self._texts = [words_of(text) for text in texts]
        self.sought = [at for at, words in enumerate(self._texts) if len(words) >= min_words]
        """Texts of enough words; the others aren't sought."""
        self._tables: dict[int, _Table] = {}
        size_of = {at: min(n, len(self._texts[at])) for at in self.sought}
        for size in sorted(set(size_of.values())):
            self._tables[size] = _Table(size, self._texts, [at for at in self.sought if size_of[at] == size])

    def __len__(self) -> int:
        """Distinct n-grams."""
        return sum(len(table) for table in self._tables.values())

    def matches(self, text: str) -> Iterator[Match]:
        """Every n-gram of a text that is sought, longer ones first, by place; once for each text that has it."""
        words = words_of(text)
        hashes = _hashes(words)
        for size in sorted(self._tables, reverse=True):
            yield from self._tables[size].matches(words, hashes)

    def shared(self, owner: int, words: set[str]) -> float:
        """Share of a sought text's n-grams that are among these runs; 0 of one that isn't sought."""
        of = self._texts[owner]
        size = min(self.n, len(of))
        runs = [" ".join(of[at : at + size]) for at in range(len(of) - size + 1)] if len(of) >= self.min_words else []
        return sum(run in words for run in runs) / len(runs) if runs else 0.0


class _Table:
    """The n-grams of one length: sorted hashes, and where each stands."""

    def __init__(self, size: int, texts: list[list[str]], mine: list[int]) -> None:
        self._size, self._texts = size, texts
        rolled = [_rolled(_hashes(texts[at]), size) for at in mine]
        lengths = np.array([len(one) for one in rolled], np.int64)
        hashes = np.concatenate([*rolled, np.zeros(0, np.uint64)])
        owners = np.repeat(np.array(mine, np.int64), lengths)
        starts = np.arange(len(hashes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        order = np.lexsort((starts, owners, hashes))
        hashes, owners, starts = hashes[order], owners[order], starts[order]
        is_first = np.ones(len(hashes), bool)  # of its hash in its text: one that repeats itself is held once
        is_first[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
        self._hashes, self._owners, self._starts = hashes[is_first], owners[is_first], starts[is_first]

    def __len__(self) -> int:
        return len(np.unique(self._hashes))

    def matches(self, words: list[str], hashes: np.ndarray) -> Iterator[Match]:
        rolled = _rolled(hashes, self._size)
        low = np.searchsorted(self._hashes, rolled, side="left")
        high = np.searchsorted(self._hashes, rolled, side="right")
        for at in np.flatnonzero(high > low):
            run = words[at : at + self._size]
            for entry in range(low[at], high[at]):
                owner, start = int(self._owners[entry]), int(self._starts[entry])
                if self._texts[owner][start : start + self._size] == run:  # two runs may share a hash
                    yield Match(owner, " ".join(run))


def _hashes(words: list[str]) -> np.ndarray:
    """Python's own, of this process: only compared within it, and never trusted."""
    return np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)


def _rolled(hashes: np.ndarray, size: int) -> np.ndarray:
    """A hash for each run of `size` words: [w] -> [w - size + 1], empty where there are fewer."""
    n = len(hashes) - size + 1
    if n < 1:
        return np.zeros(0, np.uint64)
    rolled = np.zeros(n, np.uint64)
    for at in range(size):
        rolled = rolled * _BASE + hashes[at : at + n]  # wraps around, as it should
    return rolled
