"""Statistics of the rules of C4: what is left of a page once lines that aren't sentences are passed over.

Source: C. Raffel et al., Exploring the Limits of Transfer Learning, JMLR 21 (2020), section 2.2, and what the released
code passes over beside: lines with a word of more than 1000 characters, and those that speak of cookies, privacy or
terms of use. Kept there: pages of 5 sentences or more, without "lorem ipsum" and without a curly bracket.
Departures: sentences are ended by their marks (see `sentences`); bracketed numbers of citations are taken out of a line
first; the list of bad words isn't used. A page is judged by the lines that are left, but its text stays whole.
Cost: O(characters).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.corpus.c4_lines import JAVASCRIPT, POLICY, sentence_line
from raypipe.describe.texts import CutTexts, Words, words_in


@dataclass(frozen=True)
class C4:
    r"""What the lines of a page that are sentences hold.

    >>> from raypipe.describe.texts import CutTexts
    >>> page = "Menu\nThis line is a sentence.[1] So is this.\nWe use cookies on every page."
    >>> {name: column.tolist() for name, column in C4()(CutTexts([page])).items()}
    {'c4_sentences': [2], 'c4_lorem_ipsum': [False], 'c4_curly_bracket': [False]}
    """

    adds: ClassVar[pa.Schema] = pa.schema(
        [("c4_sentences", pa.int32()), ("c4_lorem_ipsum", pa.bool_()), ("c4_curly_bracket", pa.bool_())]
    )

    def __call__(self, texts: CutTexts) -> dict[str, np.ndarray]:
        """Columns [n]: sentences of lines that are left, and whether one of those lines has what no page should."""
        n = len(texts)
        lorem, curly = np.zeros(n, bool), np.zeros(n, bool)
        left, kept, changed = list[int](), list[int](), list[tuple[int, str]]()
        for number, text, line, is_changed in _candidates(texts):
            lowered = line.lower()
            lorem[text] |= "lorem ipsum" in lowered
            if JAVASCRIPT in lowered:
                continue
            curly[text] |= "{" in line
            if POLICY.search(lowered):
                continue
            if is_changed:
                changed.append((text, line))
            else:
                left.append(number)
                kept.append(text)
        found = np.zeros(n, np.int64)
        np.add.at(found, np.array(kept, np.int64), sentences(texts.of_lines)[left])
        more = sentences(words_in(line for _, line in changed))
        np.add.at(found, np.array([text for text, _ in changed], np.int64), more)
        return {"c4_sentences": found, "c4_lorem_ipsum": lorem, "c4_curly_bracket": curly}


def _candidates(texts: CutTexts) -> Iterator[tuple[int, int, str, bool]]:
    """Lines that end as a sentence does and have words enough: number of all, text, line, and if a citation is out."""
    number = -1
    for text, lines in enumerate(texts.lines):
        for whole in lines:
            number += 1
            line = whole.strip()
            if (cut := sentence_line(line)) is not None:
                yield number, text, cut, cut != line


def sentences(words: Words) -> np.ndarray:
    """Sentences of each text [n]: one begins with each word behind a mark that ends one; quotes belong to the old one.

    Source: the rules of spaCy's sentencizer (spacy.io/api/sentencizer), by which the released filters count.
    """
    if not len(words.number):
        return np.zeros(len(words.n), np.int64)
    plain = np.flatnonzero(~(words.is_punctuation | words.ends_sentence))
    ends = np.concatenate([[0], np.cumsum(words.ends_sentence)])
    text = np.repeat(np.arange(len(words.n)), words.n)[plain]
    before = np.concatenate([[0], ends[plain][:-1]])  # marks up to the word before
    is_first = np.ones(len(plain), bool)
    is_first[1:] = text[1:] != text[:-1]
    before = np.where(is_first, ends[words.starts[:-1][text]], before)
    begun = np.bincount(text[ends[plain] > before], minlength=len(words.n))
    return np.where(words.n > 0, 1 + begun, 0)
