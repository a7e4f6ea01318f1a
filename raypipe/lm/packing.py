"""Documents packed end to end into batches, with no padding between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

PAD = 128
"""Padding is cut into documents of so many tokens."""


@dataclass(frozen=True)
class Packed:
    """Documents end to end on a device, `t` tokens in all, the last `padding` of them padding.

    `cuts` are the borders of the documents on the host; padding is cut into short documents after the last, so that
    nothing can attend to it and it attends to little. `sources` are the positions whose next token is a target,
    `targets` those tokens.
    """

    tokens: torch.Tensor  # [t] int64
    positions: torch.Tensor  # [t] int64, restart at 0 with each document
    cuts: np.ndarray  # [n + 1] int64, more with padding
    sources: torch.Tensor  # [p] int64
    targets: torch.Tensor  # [p] int64
    n_documents: int
    padding: int

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, [n]."""
        return np.diff(self.cuts)[: self.n_documents]

    def model_inputs(self) -> dict[str, Any]:
        """What a transformers model takes; the cache must be off, or it would take the documents for one.

        The borders go as a tensor, on the host: of a list's length torch.compile would make a layer of its own.
        """
        ids, positions = self.tokens[None], self.positions[None]
        return {"input_ids": ids, "position_ids": positions, "cuts": torch.from_numpy(self.cuts), "use_cache": False}


def pack(documents: Sequence[np.ndarray], *, device: torch.device, size: int | None = None) -> Packed:
    """The documents ([t_i] token ids, each of at least 1) as one packed batch, padded to `size` tokens if given.

    Raises
    ------
    ValueError
        If they don't fit into `size`.
    """
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    total = int(lengths.sum())
    padding = 0 if size is None else size - total
    if padding < 0:
        raise ValueError(f"size must be at least the {total} tokens of the documents, got {size}.")
    spans = np.concatenate([lengths, np.full(padding // PAD, PAD), [padding % PAD] if padding % PAD else []]).astype(
        int
    )
    cuts = np.concatenate([[0], np.cumsum(spans)])
    tokens = np.concatenate([*documents, np.zeros(padding, dtype=np.int64)]).astype(np.int64)
    positions = np.arange(total + padding) - np.repeat(cuts[:-1], spans)
    has_next = np.ones(total, dtype=bool)
    has_next[cuts[1 : len(lengths) + 1] - 1] = False
    sources = np.flatnonzero(has_next)
    host = (tokens, positions, sources, tokens[sources + 1])
    on_device = [_send(torch.from_numpy(array), device) for array in host]
    return Packed(on_device[0], on_device[1], cuts, on_device[2], on_device[3], len(documents), padding)


def _send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)  # the copy overlaps with the batch before
