"""Texts to token ids, once for each document and ahead of the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.models.tokenizer import open_vocabulary


@dataclass(frozen=True)
class Window:
    """The part of a document that is scored: its first tokens, and the text they stand for."""

    ids: np.ndarray  # [t] int32, with the tokenizer's leading BOS where it has one
    n_tokens_total: int
    text: str


def windows(texts: Sequence[str], *, model: str, max_tokens: int) -> list[Window]:
    """The first `max_tokens` tokens of each text."""
    encodings = open_vocabulary(model).backend.encode_batch(list(texts), add_special_tokens=True)
    return [_window(text, encoding, max_tokens) for text, encoding in zip(texts, encodings, strict=True)]


def _window(text: str, encoding: Any, max_tokens: int) -> Window:
    total = len(encoding.ids)
    if total <= max_tokens:
        return Window(np.array(encoding.ids, dtype=np.int32), total, text)
    ids = np.array(encoding.ids[:max_tokens], dtype=np.int32)
    last = next(span for at in range(max_tokens - 1, -1, -1) if (span := encoding.token_to_chars(at)))
    return Window(ids, total, text[: last[1]])
