"""Texts of a batch with their lines and words, cut once for all parts of a description.

What stands between white space is looked up among the pieces that this process has seen; words are numbers from there
on, so that statistics are sums over arrays and no word is looked at twice.
Cost: some 30 bytes a piece of the batch; the pieces that are known, at most MAX_PIECES of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from unicodedata import category

import numpy as np

from raypipe.describe.signs import SYMBOLS, TERMINAL
from raypipe.describe.words import words_of

MAX_PIECES = 500_000
"""Beyond these a batch begins anew: texts without a vocabulary mustn't fill the memory."""
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Of Gopher (Rae et al., arXiv 2112.11446, section A.1.1)."""
_STOPS = {word: 1 << at for at, word in enumerate(STOP_WORDS)}


class GrowingColumn:
    """Numbers that are appended to and read as an array, at the cost of the new ones."""

    def __init__(self, dtype: type) -> None:
        self.new: list[int] = []
        self._held: np.ndarray = np.zeros(1024, dtype)
        self._n = 0

    def array(self) -> np.ndarray:
        """All numbers so far [n]; read only."""
        n = self._n + len(self.new)
        if n > len(self._held):
            self._held = np.concatenate([self._held, np.zeros(n, self._held.dtype)])
        self._held[self._n : n] = self.new
        self.new, self._n = [], n
        return self._held[:n]


class KnownPieces(dict[str, int]):
    """What stood between white space -> its number, and the words that it is cut into."""

    def __init__(self) -> None:
        self.starts, self.words = GrowingColumn(np.int64), GrowingColumn(np.int64)
        self.starts.new.append(0)  # of the words of each piece in `words`, and the end of the last
        self.vocabulary: dict[str, int] = {}
        self.traits = [GrowingColumn(kind) for kind in (np.int64, bool, bool, bool, bool, np.int64)]
        self._n_words = 0

    def __missing__(self, piece: str) -> int:
        """Cut a piece that is new."""
        words = words_of(piece)
        for word in words:
            if (number := self.vocabulary.get(word)) is None:
                self.vocabulary[word] = number = len(self.vocabulary)
                for column, trait in zip(self.traits, _traits_of(word), strict=True):
                    column.new.append(trait)
            self.words.new.append(number)
        self._n_words += len(words)
        self.starts.new.append(self._n_words)
        self[piece] = number = len(self)
        return number


def _traits_of(word: str) -> tuple[int, bool, bool, bool, bool, int]:
    """Characters, is a symbol, has a letter, ends a sentence, is punctuation, and a stop word's bit."""
    return (
        len(word),
        all(letter in SYMBOLS for letter in word),
        any(map(str.isalpha, word)),
        word in TERMINAL,
        all(category(letter)[0] == "P" for letter in word),
        _STOPS.get(word, 0),
    )


_PIECES = KnownPieces()


@dataclass(frozen=True)
class Words:
    """The words of several texts, one after another."""

    starts: np.ndarray
    """[n + 1] int64: where the words of each text begin, and the end of the last."""
    number: np.ndarray
    """[w] int64: equal for equal words."""
    n_chars: np.ndarray
    """[w] int64"""
    is_symbol: np.ndarray
    """[w] bool: of signs alone."""
    has_letter: np.ndarray
    ends_sentence: np.ndarray
    is_punctuation: np.ndarray
    stop_word: np.ndarray
    """[w] int64: a bit for each of STOP_WORDS, 0 for others."""

    @cached_property
    def n(self) -> np.ndarray:
        """Words of each text [n]."""
        return np.diff(self.starts)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Of what each word has [w], the sums over each text [n]."""
        upto = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
        return np.asarray(upto[self.starts[1:]] - upto[self.starts[:-1]])


def words_in(texts: Iterable[str]) -> Words:
    """The words of texts, in order."""
    global _PIECES
    if len(_PIECES) > MAX_PIECES:
        _PIECES = KnownPieces()
    known, pieces = _PIECES, [text.split() for text in texts]
    n_pieces = np.fromiter(map(len, pieces), np.int64, len(pieces))
    at = np.fromiter(map(known.__getitem__, chain.from_iterable(pieces)), np.int64, int(n_pieces.sum()))
    starts, words = known.starts.array(), known.words.array()
    n_words = np.diff(starts)[at]
    upto = np.concatenate([[0], np.cumsum(n_words)])
    of_piece = np.arange(upto[-1]) - np.repeat(upto[:-1], n_words) + np.repeat(starts[:-1][at], n_words)
    number = words[of_piece]
    traits = [column.array()[number] for column in known.traits]
    starts = upto[np.concatenate([[0], np.cumsum(n_pieces)])]
    return Words(starts, number, *traits)


@dataclass(frozen=True)
class CutTexts:
    """Texts, none of them blank."""

    texts: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def n_chars(self) -> np.ndarray:
        """[n] int64"""
        return np.fromiter(map(len, self.texts), np.int64, len(self))

    @cached_property
    def lines(self) -> list[list[str]]:
        """Of each text, ended by any of the line ends that Unicode has."""
        return [text.splitlines() for text in self.texts]

    @cached_property
    def n_lines(self) -> np.ndarray:
        """[n] int64, at least 1"""
        return np.fromiter(map(len, self.lines), np.int64, len(self))

    @cached_property
    def of_lines(self) -> Words:
        """The words of every line of all texts."""
        return words_in(chain.from_iterable(self.lines))

    @cached_property
    def words(self) -> Words:
        """The words of every text: a line's end parts words too."""
        lines = self.of_lines
        starts = lines.starts[np.concatenate([[0], np.cumsum(self.n_lines)])]
        return Words(starts, *(getattr(lines, name) for name in Words.__dataclass_fields__ if name != "starts"))

    def counts(self, what: str) -> np.ndarray:
        """How often each text [n] has it."""
        return np.fromiter((text.count(what) for text in self.texts), np.int64, len(self))
