"""Texts to token ids for an encoder: the first tokens of a long text, or the chunks that it is cut into.

Each piece is what the model would get of a text of its own: what the tokenizer adds before and after, and what the
template puts around a text, stand in every one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np

from raypipe.embed.template import split_template
from raypipe.models.tokenizer import open_vocabulary

Around = tuple[int, int]
"""Tokens before and after a text's own."""


@dataclass(frozen=True)
class TextPieces:
    """The token ids of one text."""

    ids: list[np.ndarray]  # [t_i] int32 each
    n_tokens_total: int
    """Of the whole text, with what stands around it once."""
    is_whole: bool
    """Whether every token of the text is in one of them."""


@dataclass(frozen=True)
class Cutter:
    """How texts become pieces."""

    model: str
    template: str
    max_tokens: int
    """Of a piece, with all that stands around."""
    max_pieces: int
    lowers_case: bool = False
    appends_end: bool = False
    """Whether the tokenizer's end of text stands at the end of each piece, also where it adds none itself."""

    def __call__(self, texts: Sequence[str]) -> list[TextPieces]:
        """The pieces of each text; none of one that leaves no token of its own.

        Raises
        ------
        ValueError
            If what stands around a text leaves no room for it in max_tokens, or there is no end of text to append.
        """
        before, after = split_template(self.template)
        given = [text.lower() for text in texts] if self.lowers_case else list(texts)
        vocabulary = open_vocabulary(self.model)
        if self.appends_end and vocabulary.end is None:
            raise ValueError(f"tokenizer of {self.model!r} must have an end-of-text token to append, it has none.")
        end = np.array([vocabulary.end] if self.appends_end else [], np.int32)
        encodings = vocabulary.backend.encode_batch([f"{before}{text}{after}" for text in given])
        added = _added(vocabulary.backend.encode("a").special_tokens_mask)
        return [
            self._pieces(np.array(encoding.ids, np.int32), self._around(encoding, added, len(before), len(text)), end)
            for text, encoding in zip(given, encodings, strict=True)
        ]

    def _around(self, encoding: Any, added: Around, before: int, size: int) -> Around:
        """Tokens that are the tokenizer's or the template's, whose text has `size` characters after `before`."""
        if len(self.template) == len("{text}"):
            return added
        inner = encoding.offsets[added[0] : len(encoding.ids) - added[1]]
        head = sum(1 for _ in takewhile(lambda span: span[1] <= before, inner))
        tail = sum(1 for _ in takewhile(lambda span: span[0] >= before + size, inner[head:][::-1]))
        return added[0] + head, added[1] + tail

    def _pieces(self, ids: np.ndarray, around: Around, end: np.ndarray) -> TextPieces:
        stop = len(ids) - around[1]
        head, body, tail = ids[: around[0]], ids[around[0] : stop], ids[stop:]
        if len(end) and not (len(tail) and tail[-1] == end[0]):
            tail = np.concatenate([tail, end])
        room = self.max_tokens - len(head) - len(tail)
        if room < 1:
            raise ValueError(
                f"max_tokens must leave room for a text beside the {len(head) + len(tail)} tokens that stand around "
                f"it, got {self.max_tokens}; shorten the template."
            )
        cuts = range(0, len(body), room)
        pieces = [np.concatenate([head, body[at : at + room], tail]) for at in cuts[: self.max_pieces]]
        return TextPieces(pieces, len(head) + len(body) + len(tail), len(cuts) <= self.max_pieces)


def _added(mask: Sequence[int]) -> Around:
    """How many tokens the tokenizer adds before and after a text, by the mask of those that it added to one."""
    before = sum(1 for _ in takewhile(bool, mask))
    return before, sum(1 for _ in takewhile(bool, mask[::-1])) if before < len(mask) else 0
