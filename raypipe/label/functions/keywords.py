"""Keywords: a vote for one class where the text has one of these words or phrases, whole and in any case.

Source: the keyword labelling functions of A. Ratner et al., Snorkel, VLDB 2018, section 2.1.
Departures: what ends a word is what is no letter, digit or underscore of Unicode; a run of white space in a phrase
stands for any.
Cost: O(text) for every 200 words, by RE2.
"""

import re
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import TEXT
from raypipe.label.functions.function import check_words, column, where

WORDS_AT_ONCE = 200
"""Of one expression: with thousands in one, RE2 falls back on its slow way."""
_NO_WORD = r"[^\pL\pN_]"
_BLANKS = r"[\s\pZ\x0b]+"  # RE2's \s is of ASCII alone


@dataclass(frozen=True)
class Keywords:
    """Votes where one of the words is there.

    >>> import pyarrow as pa
    >>> function = Keywords("cheap", vote="spam", words=("free offer", "prize"))
    >>> function.says(pa.table({"text": ["A FREE  offer!", "surprized", "You won a prize"]})).to_pylist()
    ['spam', None, 'spam']
    """

    name: str
    vote: str
    """The class."""
    words: tuple[str, ...]
    """Words or phrases."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)

    def check(self) -> None:
        """Refuse none, or blank ones.

        Raises
        ------
        ValueError
            With the words.
        """
        check_words(self.name, "words", self.words)

    def says(self, table: pa.Table) -> pa.Array:
        """The class where a word is found."""
        texts, words = column(table, TEXT), self.words
        parts = [words[start : start + WORDS_AT_ONCE] for start in range(0, len(words), WORDS_AT_ONCE)]
        found = [pc.match_substring_regex(texts, _pattern(part), ignore_case=True) for part in parts]
        return where(reduce(pc.or_, found), self.vote)


def _pattern(words: tuple[str, ...]) -> str:
    either = "|".join(_BLANKS.join(map(re.escape, word.split())) for word in words)
    return f"(?:^|{_NO_WORD})(?:{either})(?:$|{_NO_WORD})"
