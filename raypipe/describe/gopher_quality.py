"""Statistics of the quality rules of Gopher: is it prose of some length, not a list, a table or a heap of symbols.

Source: J. Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, arXiv 2112.11446,
section A.1.1. Kept there: 50 to 100,000 words; a mean word length of 3 to 10 characters; at most 0.1 hashes and 0.1
ellipses a word; at most 90 % of lines that begin with a bullet, at most 30 % that end with an ellipsis; 80 % of words
with a letter; two of the words the, be, to, of, and, that, have, with.
Departures: words are FineWeb's (`words`), of which those of signs alone count neither as words nor in the mean length.
Cost: O(words), no word twice.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.describe.texts import STOP_WORDS, CutTexts, Words

_BULLETS, _ELLIPSES = ("•", "-"), ("...", "…")


@dataclass(frozen=True)
class GopherQuality:
    r"""Lengths and shares that Gopher's quality rules are about.

    >>> from raypipe.describe.texts import CutTexts
    >>> found = GopherQuality()(CutTexts(["The cat and the dog have met.", "- 1 # 2\n- 3 # 4"]))
    >>> {name: found[name].round(2).tolist() for name in ("n_words", "n_stop_words", "hashes_per_word", "bullet_lines")}
    {'n_words': [7, 4], 'n_stop_words': [3, 0], 'hashes_per_word': [0.0, 0.25], 'bullet_lines': [0.0, 1.0]}
    """

    adds: ClassVar[pa.Schema] = pa.schema(
        [
            ("n_words", pa.int32()),
            ("mean_word_length", pa.float64()),
            ("hashes_per_word", pa.float64()),
            ("ellipses_per_word", pa.float64()),
            ("bullet_lines", pa.float64()),
            ("ellipsis_lines", pa.float64()),
            ("words_with_letters", pa.float64()),
            ("n_stop_words", pa.int32()),
        ]
    )

    def __call__(self, texts: CutTexts) -> dict[str, np.ndarray]:
        """Columns [n]; the mean word length is NaN where there is no word."""
        words = texts.words
        is_word = ~words.is_symbol
        n_words, n_all = words.sums(is_word), np.maximum(words.n, 1)
        length = np.full(len(texts), np.nan)
        np.divide(words.sums(words.n_chars * is_word), n_words, out=length, where=n_words > 0)
        bullets = (sum(line.lstrip().startswith(_BULLETS) for line in lines) for lines in texts.lines)
        trailing = (sum(line.rstrip().endswith(_ELLIPSES) for line in lines) for lines in texts.lines)
        return {
            "n_words": n_words,
            "mean_word_length": length,
            "hashes_per_word": texts.counts("#") / n_all,
            "ellipses_per_word": (texts.counts("...") + texts.counts("…")) / n_all,
            "bullet_lines": np.fromiter(bullets, np.int64, len(texts)) / texts.n_lines,
            "ellipsis_lines": np.fromiter(trailing, np.int64, len(texts)) / texts.n_lines,
            "words_with_letters": words.sums(words.has_letter) / n_all,
            "n_stop_words": _distinct_stop_words(words),
        }


def _distinct_stop_words(words: Words) -> np.ndarray:
    """How many of the stop words each text has [n]."""
    return np.asarray(
        sum((words.sums(words.stop_word == 1 << at) > 0).astype(np.int64) for at in range(len(STOP_WORDS)))
    )
