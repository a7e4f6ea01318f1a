"""A text read by words that have confidences: paragraphs, sentences and words, each with a vector, in colour.

Source: S. Burdisso et al., arXiv 1905.08772, section 3: a text is split into paragraphs, sentences and words; summary
operators bring the vectors of a level to one of the level above, from the words up; the vector of a part is also its
explanation. Early decisions are section 3's first policy.
"""

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Summary = Callable[[np.ndarray], np.ndarray]
"""Vectors of the parts [p, k] -> that of the whole [k]."""
WORD = re.compile(r"\w\w+")  # as CountVectorizer's
_PARAGRAPH, _SENTENCE = re.compile(r"\n+"), re.compile(r"(?<=[.!?])\s+")


def added(parts: np.ndarray) -> np.ndarray:
    """The sum: what is said adds up, and a stream needs only what it has so far."""
    found: np.ndarray = parts.sum(axis=0)
    return found


def greatest(parts: np.ndarray) -> np.ndarray:
    """The greatest for each class: one clear part is enough."""
    found: np.ndarray = parts.max(axis=0)
    return found


@dataclass(frozen=True)
class TextPart:
    """A text or a part of one: its vector [k], and its parts."""

    text: str
    vector: np.ndarray
    parts: tuple["TextPart", ...] = ()


@dataclass(frozen=True)
class WordReader:
    """Reads texts by the confidences of known words."""

    confidences: Mapping[str, np.ndarray]
    """Word -> [k]."""
    n_classes: int
    of_words: Summary = added
    of_sentences: Summary = added
    of_paragraphs: Summary = added

    @classmethod
    def of(cls, words: Sequence[str], confidences: np.ndarray, **summaries: Summary) -> "WordReader":
        """Of the names of words [d] and what they say [d, k]."""
        return cls(dict(zip(words, confidences, strict=True)), confidences.shape[1], **summaries)

    def read(self, text: str) -> TextPart:
        """Paragraphs of sentences of words, each with what it says."""
        paragraphs = tuple(self._paragraph(one) for one in _PARAGRAPH.split(text) if one.strip())
        return TextPart(text, self._summed(paragraphs, self.of_paragraphs), paragraphs)

    def _paragraph(self, text: str) -> TextPart:
        sentences = tuple(self._sentence(one) for one in _SENTENCE.split(text) if one.strip())
        return TextPart(text, self._summed(sentences, self.of_sentences), sentences)

    def _sentence(self, text: str) -> TextPart:
        nothing = np.zeros(self.n_classes)
        words = tuple(TextPart(one, self.confidences.get(one.lower(), nothing)) for one in WORD.findall(text))
        return TextPart(text, self._summed(words, self.of_words), words)

    def _summed(self, parts: Sequence[TextPart], summary: Summary) -> np.ndarray:
        return summary(np.stack([one.vector for one in parts])) if parts else np.zeros(self.n_classes)


def decide_early(vectors: Iterable[np.ndarray], *, positive: int) -> tuple[bool, int]:
    """Whether a stream of posts is positive, and after how many that was decided: as soon as it leads, for good.

    Vectors are those of the posts [k], added up as they come. A stream that is never positive is decided at its end.
    """
    total, n_read = np.zeros(0), 0
    for n_read, vector in enumerate(vectors, start=1):
        total = vector if n_read == 1 else total + vector
        if total[positive] > np.delete(total, positive).max():
            return True, n_read
    return False, n_read


def in_colour(part: TextPart, *, of: int) -> str:
    """HTML of a text read: words and sentences tinted by how much they say for the class numbered `of`."""
    sentences = [sentence for paragraph in part.parts for sentence in paragraph.parts]
    top_sentence = max((one.vector[of] for one in sentences), default=0.0)
    top_word = max((word.vector[of] for one in sentences for word in one.parts), default=0.0)

    def tinted(inner: str, value: float, top: float, strength: float) -> str:
        """A span whose background is the stronger the greater the value."""
        if value <= 0:
            return inner
        return (
            f'<span style="background:rgba(46,125,50,{strength * value / top:.2f})" title="{value:.3f}">{inner}</span>'
        )

    def sentence_html(sentence: TextPart) -> str:
        """Its words tinted inside, and itself around them."""
        out, at = [], 0
        for word, found in zip(sentence.parts, WORD.finditer(sentence.text), strict=True):
            out += [html.escape(sentence.text[at : found.start()])]
            out += [tinted(html.escape(word.text), float(word.vector[of]), float(top_word), 0.8)]
            at = found.end()
        inner = "".join(out) + html.escape(sentence.text[at:])
        return tinted(inner, float(sentence.vector[of]), float(top_sentence), 0.32)

    return "\n".join(f"<p>{' '.join(map(sentence_html, paragraph.parts))}</p>" for paragraph in part.parts)
