"""Chunks: a long text cut into pieces of at most so many characters, where its structure lets it be cut.

Cut between paragraphs where one ends in the second half of a piece, else between lines, sentences, words, and only at
last inside a word; never inside a letter and the marks that belong to it. Put together, the pieces are the text.
Source: our own. Cost: O(n) in characters.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from raypipe.columns import TEXT
from raypipe.contracts.rewrite import ROW

_ENDS = tuple(re.compile(pattern) for pattern in (r"\n\s*\n", r"\n", r"[.!?\u3002\uff01\uff1f]['\")\]]*\s+", r"\s+"))


@dataclass(frozen=True)
class Chunks:
    r"""The pieces of each text, in order.

    >>> import pyarrow as pa
    >>> found = Chunks(max_chars=12)(pa.table({"text": ["One.\n\nTwo, three. Four", "Five"]}))
    >>> found.column("row").to_pylist(), found.column("text").to_pylist()
    ([0, 0, 1], ['One.\n\nTwo, ', 'three. Four', 'Five'])
    """

    max_chars: int = 4000
    """Longest piece, in characters."""

    version: ClassVar[int] = 1
    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    adds: ClassVar[pa.Schema] = pa.schema([(TEXT, pa.large_string()), ("start", pa.int64())])
    """The piece, and the character of the text that it begins at."""

    def __post_init__(self) -> None:
        """Check the length.

        Raises
        ------
        ValueError
            If it is below 1.
        """
        if self.max_chars < 1:
            raise ValueError(f"max_chars must be at least 1, got {self.max_chars}.")

    def setup(self, *, n_threads: int) -> None:
        """Nothing is loaded."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        """A row for each piece."""
        pieces = [
            (row, start, text[start:stop])
            for row, text in enumerate(batch[TEXT].to_pylist())
            for start, stop in cuts(text, max_chars=self.max_chars)
        ]
        rows, starts, texts = zip(*pieces, strict=True) if pieces else ((), (), ())
        columns = {TEXT: pa.array(texts, pa.large_string()), "start": pa.array(starts, pa.int64())}
        return pa.table({ROW: pa.array(rows, pa.int64()), **columns})


def cuts(text: str, *, max_chars: int) -> list[tuple[int, int]]:
    """Where each piece of a text starts and stops; none of an empty one."""
    found, start = [], 0
    while len(text) - start > max_chars:
        stop = _best(text, start, start + max_chars)
        found.append((start, stop))
        start = stop
    return [*found, (start, len(text))] if start < len(text) else found


def _best(text: str, start: int, stop: int) -> int:
    middle = start + (stop - start) // 2
    for ends in _ENDS:
        if places := [end.end() for end in ends.finditer(text, middle, stop)]:
            return places[-1]
    while stop > start + 1 and unicodedata.combining(text[stop]):
        stop -= 1
    return stop
