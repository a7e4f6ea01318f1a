"""Statistics of FineWeb's own rules: lists and menus of pages, whose lines are short, open and repeated.

Source: G. Penedo et al., The FineWeb Datasets, arXiv 2406.17557, section 3.5. Kept there: at least 12 % of lines end
with punctuation, at most 1 % of characters stand in repeated lines, at most 67 % of lines have fewer than 30
characters; and, in the released filter, at most 0.3 line ends a word.
Departures: as in that filter, a line of 30 characters is short too.
Cost: O(characters).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.describe.signs import TERMINAL
from raypipe.describe.texts import CutTexts

SHORT_LINE = 30
"""Characters."""


@dataclass(frozen=True)
class FineWeb:
    r"""Shares of lines, and of characters of repeated lines.

    >>> from raypipe.describe.texts import CutTexts
    >>> menu = "Home\nAbout\nHome\nWhat a page says about itself, in a line of its own."
    >>> {name: column.round(2).tolist() for name, column in FineWeb()(CutTexts([menu])).items()}
    {'punctuated_lines': [0.25], 'short_lines': [0.75], 'repeated_line_chars': [0.06], 'line_ends_per_word': [0.18]}
    """

    adds: ClassVar[pa.Schema] = pa.schema(
        [
            ("punctuated_lines", pa.float64()),
            ("short_lines", pa.float64()),
            ("repeated_line_chars", pa.float64()),
            ("line_ends_per_word", pa.float64()),
        ]
    )

    def __call__(self, texts: CutTexts) -> dict[str, np.ndarray]:
        """Columns [n], all but the last in [0, 1]."""
        found = np.array([_of_text(text) for text in texts.texts], np.float64).reshape(-1, 3)
        return {
            "punctuated_lines": found[:, 0],
            "short_lines": found[:, 1],
            "repeated_line_chars": found[:, 2],
            "line_ends_per_word": texts.counts("\n") / np.maximum(texts.words.n, 1),
        }


def _of_text(text: str) -> tuple[float, float, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    different = set(lines)
    repeated = 0 if len(different) == len(lines) else sum(map(len, lines)) - sum(map(len, different))
    return (
        sum(line[-1] in TERMINAL for line in lines) / len(lines),
        sum(len(line) <= SHORT_LINE for line in lines) / len(lines),
        repeated / (len(text) - text.count("\n")),
    )
