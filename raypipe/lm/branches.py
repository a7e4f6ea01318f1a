"""Texts that begin alike and go on in several ways: the beginning goes through the model once for all of them.

A beginning of c tokens and branches of n_1, n_2 ... are one row of c + n_1 + n_2 + ... tokens, in which a branch sees
the beginning and itself, and its positions follow the beginning's. Rows of like length go through the model together,
padded on the right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from raypipe.lm.decoder import Decoder
from raypipe.lm.loss import token_losses

TRUNK, PAD = 0, -1
MAX_JOINED = 0.75
"""Tokens of a joined row over those of its parts at most: longer rows attend more."""


@dataclass(frozen=True)
class Branches:
    """A beginning and the ways in which it goes on."""

    trunk: np.ndarray  # [c] int64
    branches: tuple[np.ndarray, ...]  # [n_i] int64 each
    is_scored: tuple[np.ndarray, ...]  # [n_i] bool each: tokens whose likelihood is asked for

    @property
    def n_tokens(self) -> int:
        """Of the row that it becomes."""
        return len(self.trunk) + sum(map(len, self.branches))


def grown(texts: Sequence[Sequence[int]], is_scored: Sequence[np.ndarray]) -> Branches:
    """Token ids of several texts as one trunk and their branches; what is scored is never part of the trunk."""
    first = min(int(np.argmax(scored)) if scored.any() else len(scored) for scored in is_scored)
    shared = next((at for at in range(first) if len({text[at] for text in texts}) > 1), first)
    branches = tuple(np.array(text[shared:], np.int64) for text in texts)
    return Branches(np.array(texts[0][:shared], np.int64), branches, tuple(scored[shared:] for scored in is_scored))


def joined(rows: Sequence[Branches], *, max_tokens: int) -> list[tuple[Branches, int]]:
    """Neighbours that begin alike as one row, where that is clearly less to compute; each with its number of rows.

    What they share goes through the model once, as the examples before every question of a benchmark do; what only one
    row's branches share is computed for each of them. A joined row has at most `max_tokens` tokens.
    """
    found: list[tuple[Branches, int]] = []
    at = 0
    while at < len(rows):
        best, n = rows[at], 1
        while at + n < len(rows):
            wider = _under_one_trunk(rows[at : at + n + 1])
            apart = best.n_tokens + rows[at + n].n_tokens
            if wider.n_tokens > min(max_tokens, MAX_JOINED * apart):
                break
            best, n = wider, n + 1
        found.append((best, n))
        at += n
    return found


def _under_one_trunk(rows: Sequence[Branches]) -> Branches:
    """The branches of all rows, each with what of its trunk isn't shared."""
    size = min(len(row.trunk) for row in rows)
    first = rows[0].trunk[:size]
    differs = np.flatnonzero(np.any([row.trunk[:size] != first for row in rows], axis=0))
    shared = int(differs[0]) if len(differs) else size
    own = [(row.trunk[shared:], row) for row in rows]
    branches = [np.concatenate([before, branch]) for before, row in own for branch in row.branches]
    is_scored = [np.append(np.zeros(len(before), bool), scored) for before, row in own for scored in row.is_scored]
    return Branches(first[:shared], tuple(branches), tuple(is_scored))


def plan_rows(lengths: np.ndarray, *, budget: int) -> list[np.ndarray]:
    """Rows that go through the model together: of like length, at most `budget` tokens with padding, or one alone."""
    batches: list[list[int]] = []
    for row in np.argsort(-lengths, kind="stable"):
        size = int(lengths[batches[-1][0]]) if batches else 0  # the longest of a batch comes first
        if batches and size * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(int(row))
        else:
            batches.append([int(row)])
    return [np.array(batch, np.int64) for batch in batches]


def losses_of_ways(
    decoder: Decoder, rows: Sequence[Branches], *, max_tokens: int, budget: int, heed: Callable[[], None] = lambda: None
) -> list[np.ndarray]:
    """`branch_losses` of any number of rows, in batches of so many tokens, neighbours under one trunk where that pays.

    `heed` is called between batches and may raise.
    """
    groups = joined(rows, max_tokens=max_tokens)
    parts: list[np.ndarray] = [np.zeros(0)] * len(groups)
    for batch in plan_rows(np.array([row.n_tokens for row, _ in groups]), budget=budget):
        heed()
        for at, losses in zip(batch, branch_losses(decoder, [groups[at][0] for at in batch]), strict=True):
            parts[at] = losses
    borders = np.cumsum([len(row.branches) for row in rows])
    return np.split(np.concatenate([np.zeros(0), *parts]), borders[:-1]) if rows else []


@torch.inference_mode()
def branch_losses(decoder: Decoder, rows: Sequence[Branches]) -> list[np.ndarray]:
    """-log p of the scored tokens of each branch, nats, summed: for each row [k] float64.

    A scored token that nothing precedes has no loss.
    """
    size = max(row.n_tokens for row in rows)
    laid = [_laid_out(row, size, at * size) for at, row in enumerate(rows)]
    tokens, positions, segments = (np.concatenate([getattr(one, name) for one in laid]) for name in _Laid.ARRAYS)
    device = decoder.device
    hidden = _states(
        decoder,
        torch.from_numpy(tokens).to(device),
        torch.from_numpy(positions).to(device),
        _mask(torch.from_numpy(segments).to(device).view(len(rows), size)),
    )
    sources = torch.from_numpy(np.concatenate([one.sources for one in laid])).to(device)
    targets = torch.from_numpy(np.concatenate([one.targets for one in laid])).to(device)
    losses = token_losses(hidden[sources], decoder.head, targets).double().cpu().numpy()
    starts = np.cumsum([0, *(len(one.targets) for one in laid)])
    return [
        np.bincount(one.owners, losses[start : start + len(one.targets)], minlength=len(row.branches))
        for one, row, start in zip(laid, rows, starts, strict=False)
    ]


@dataclass(frozen=True)
class _Laid:
    """A row of a batch; sources count from the batch's first token."""

    tokens: np.ndarray  # [t]
    positions: np.ndarray  # [t]
    segments: np.ndarray  # [t] 0 the trunk, 1 .. k the branches, -1 padding
    sources: np.ndarray  # [p] positions that predict scored tokens
    targets: np.ndarray  # [p]
    owners: np.ndarray  # [p] number of the branch
    ARRAYS = ("tokens", "positions", "segments")


def _laid_out(row: Branches, size: int, offset: int) -> _Laid:
    c, lengths = len(row.trunk), [len(branch) for branch in row.branches]
    padding = size - row.n_tokens
    tokens = np.concatenate([row.trunk, *row.branches, np.zeros(padding, np.int64)])
    positions = np.concatenate([np.arange(c), *(np.arange(c, c + n) for n in lengths), np.zeros(padding, np.int64)])
    segments = np.repeat([TRUNK, *range(1, len(lengths) + 1), PAD], [c, *lengths, padding])
    starts = c + np.cumsum([0, *lengths[:-1]])
    found = []
    for number, (start, scored) in enumerate(zip(starts, row.is_scored, strict=True)):
        at = np.flatnonzero(scored)
        sources = np.where(at > 0, start + at - 1, c - 1)
        has_source = sources >= 0
        found.append((sources[has_source], start + at[has_source], np.full(int(has_source.sum()), number)))
    sources, at, owners = (np.concatenate(part) for part in zip(*found, strict=True))
    return _Laid(tokens, positions.astype(np.int64), segments, offset + sources, tokens[at], owners)


def _mask(segments: torch.Tensor) -> torch.Tensor:
    """Which tokens each may see: [b, t] segments -> [b, 1, t, t] bool; padding sees padding, for something it must."""
    before = torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool, device=segments.device).tril()
    same = segments[:, :, None] == segments[:, None, :]
    from_trunk = (segments[:, None, :] == TRUNK) & (segments[:, :, None] != PAD)
    return ((same | from_trunk) & before)[:, None]


def _states(decoder: Decoder, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Normed last hidden states [b t, d] of rows [b, t], laid end to end."""
    n_rows, size = mask.shape[0], mask.shape[-1]

    def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        q, k, v = (part[0].unflatten(0, (n_rows, size)).transpose(1, 2) for part in (queries, keys, values))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])
        return out.transpose(1, 2).flatten(0, 1)[None]

    rotary = (decoder.cos[positions], decoder.sin[positions])
    hidden = F.embedding(tokens, decoder.embedding)[None]
    for layer in decoder.layers:
        hidden = layer.finish(hidden, attend(*layer.project(hidden, rotary, None)))
    return F.rms_norm(hidden, (decoder.shape.hidden_size,), decoder.norm, decoder.shape.norm_epsilon)[0]
