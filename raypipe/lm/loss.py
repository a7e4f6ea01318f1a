"""Token losses from last hidden states, a chunk of positions at a time: the logits are never all in memory."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F

CHUNK_BYTES = {"cpu": 48 << 20, "cuda": 1 << 30}
"""Bytes of float32 logits held at once: what a CPU's caches bear, and what keeps a GPU busy."""

LOG_PROB_COPIES = 4
"""How often the logits of a chunk are held where their moments are asked for."""

Losses = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Last hidden states, head and targets -> losses."""


def chunk_losses(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """`token_losses` with all logits at once."""
    return F.cross_entropy(F.linear(hidden, head).float(), targets, reduction="none")


class LogProbs(NamedTuple):
    """Of tokens: what was said, and what the model expected there, nats, float32 [p] each."""

    nll: torch.Tensor
    """-log p(target)."""
    mean: torch.Tensor
    """Of log p(v) over the vocabulary, under the model's own p."""
    std: torch.Tensor
    """Standard deviation of the same."""


def chunk_log_probs(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> LogProbs:
    """`token_log_probs` with all logits at once."""
    logits = F.linear(hidden, head).float()
    log_p = torch.log_softmax(logits, dim=-1)
    p = log_p.exp()
    mean = (p * log_p).sum(dim=-1)
    variance = (p * (log_p - mean[:, None]).square()).sum(dim=-1)  # about the mean: no difference of large squares
    return LogProbs(F.cross_entropy(logits, targets, reduction="none"), mean, variance.sqrt())


def token_log_probs(hidden: torch.Tensor, head: torch.Tensor, targets: torch.Tensor) -> LogProbs:
    """Log-probabilities of targets and their moments: hidden [p, d], head [vocabulary, d], targets [p] -> [p] each."""
    chunk = max(1, CHUNK_BYTES[hidden.device.type] // (4 * LOG_PROB_COPIES * head.shape[0]))
    parts = [
        chunk_log_probs(h, head, t) for h, t in zip(hidden.split(chunk), targets.split(chunk), strict=True) if len(t)
    ]
    none = hidden.new_zeros(0, dtype=torch.float32)
    return LogProbs(*(torch.cat(part) for part in zip(*parts, strict=True))) if parts else LogProbs(none, none, none)


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
