"""Token losses from last hidden states, a chunk of positions at a time: the logits are never all in memory."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

CHUNK_BYTES = {"cpu": 48 << 20, "cuda": 1 << 30}
"""Bytes of float32 logits held at once: what a CPU's caches bear, and what keeps a GPU busy."""

Losses = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Last hidden states, head and targets -> losses."""


def chunk_losses(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """`token_losses` with all logits at once."""
    return F.cross_entropy(F.linear(hidden, head).float(), targets, reduction="none")


def token_losses(
    hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor, *, of_chunk: Losses = chunk_losses
) -> torch.Tensor:
    """-log p(target) in nats, float32: hidden [p, d], head [vocabulary, d], targets [p] -> [p]."""
    chunk = max(1, CHUNK_BYTES[hidden.device.type] // (4 * head.shape[0]))
    parts = zip(hidden.split(chunk), targets.split(chunk), strict=True)
    losses = [of_chunk(h, head, t) for h, t in parts]
    return torch.cat(losses) if losses else hidden.new_zeros(0, dtype=torch.float32)


def token_hits(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Whether the likeliest token is the target: same arguments as token_losses, -> [p] bool."""
    return F.linear(hidden, head).argmax(dim=-1) == targets
