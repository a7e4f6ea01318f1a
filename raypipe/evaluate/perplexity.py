"""Loss and bits per byte of documents, by domain, with intervals over documents.

Source: L. Gao et al., The Pile, arXiv 2101.00027, section 3.1 (bits per byte, which no tokenizer flatters). Every token
has a loss: a document follows the tokenizer's begin of text, or else an end of text, and a long one is cut into windows
of which each knows the last token of the one before.
Cost: one forward pass, packed; no logits in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from raypipe.arrays.bootstrap import drawn_counts
from raypipe.evaluate.task_means import estimate
from raypipe.lm.decoder import Decoder
from raypipe.lm.loss import token_losses
from raypipe.lm.packing import pack
from raypipe.lm.plan import plan_batches
from raypipe.models.boundary import opened
from raypipe.models.tokenizer import Vocabulary


@dataclass(frozen=True)
class DocumentLosses:
    """Of n documents."""

    nll: np.ndarray  # [n] float64, nats, summed over tokens
    n_tokens: np.ndarray  # [n] tokens with a loss
    n_bytes: np.ndarray  # [n] of UTF-8


def document_losses(
    decoder: Decoder,
    vocabulary: Vocabulary,
    texts: Sequence[str],
    *,
    max_tokens: int,
    budget: int,
    heed: Callable[[], None] = lambda: None,
) -> DocumentLosses:
    """The losses of texts; `heed` is called between batches and may raise.

    Raises
    ------
    ValueError
        If the tokenizer has nothing that stands before a text, or a loss isn't finite.
    """
    before = opened(vocabulary, "") or ([vocabulary.end] if vocabulary.end is not None else [])
    if not before:
        raise ValueError("the tokenizer must have a begin or an end of text, for the first token follows it.")
    encoded = vocabulary.backend.encode_batch(list(texts), add_special_tokens=False)
    windows = [(at, window) for at, one in enumerate(encoded) for window in _windows(before, one.ids, max_tokens)]
    nll, n_tokens = np.zeros(len(texts)), np.zeros(len(texts), np.int64)
    for batch in plan_batches(np.array([len(ids) for _, ids in windows], np.int64), budget=max(budget, max_tokens)):
        heed()
        owners = [windows[at][0] for at in batch]
        losses = _losses(decoder, [windows[at][1] for at in batch])
        lengths = [len(windows[at][1]) - 1 for at in batch]
        np.add.at(nll, np.repeat(owners, lengths), losses)
        np.add.at(n_tokens, owners, lengths)
    if not np.isfinite(nll).all():
        raise ValueError(
            f"the model's losses must be finite, of document {int(np.argmin(np.isfinite(nll)))} they aren't."
        )
    return DocumentLosses(nll, n_tokens, np.array([len(text.encode()) for text in texts], np.int64))


def by_domain(
    found: DocumentLosses, domains: Sequence[str], *, n_resamples: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Loss (nats a token) and bits per byte, of each domain and of all, with 95 % intervals over documents.

    Raises
    ------
    ValueError
        If there is no document.
    """
    if not len(found.nll):
        raise ValueError("there must be at least one document to measure, got none.")
    names, of = np.unique(np.asarray(domains, str), return_inverse=True)
    parts = {name: np.flatnonzero(of == at) for at, name in enumerate(names.tolist())}
    return {
        "all": _of(found, np.arange(len(of)), n_resamples, seed),
        "domains": {name: _of(found, rows, n_resamples, seed) for name, rows in parts.items()},
    }


def _of(found: DocumentLosses, rows: np.ndarray, n_resamples: int, seed: int) -> dict[str, Any]:
    nll, tokens, size = found.nll[rows], found.n_tokens[rows], found.n_bytes[rows] * np.log(2)
    drawn = [
        (counts @ nll, counts @ tokens, counts @ size)
        for counts in drawn_counts(len(rows), n_resamples=n_resamples, seed=seed)
    ]
    nlls, tokens_drawn, sizes = (np.concatenate(part) for part in zip(*drawn, strict=True))
    return {
        "n": len(rows),
        "tokens": int(tokens.sum()),
        "bytes": int(found.n_bytes[rows].sum()),
        "loss": asdict(estimate(float(nll.sum() / tokens.sum()), nlls / tokens_drawn)),
        "bits_per_byte": asdict(estimate(float(nll.sum() / size.sum()), nlls / sizes)),
    }


def _windows(before: list[int], ids: list[int], max_tokens: int) -> Iterator[np.ndarray]:
    whole = np.array([*before, *ids], np.int64)
    for start in range(len(before) - 1, len(whole) - 1, max_tokens - 1):
        yield whole[start : start + max_tokens]


@torch.inference_mode()
def _losses(decoder: Decoder, documents: list[np.ndarray]) -> np.ndarray:
    batch = pack(documents, device=decoder.device)
    hidden = decoder(batch)[0]
    return np.asarray(token_losses(hidden[batch.sources], decoder.head, batch.targets).double().cpu().numpy())
