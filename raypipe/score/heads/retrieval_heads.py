"""Retrieval heads: the attention heads that copy from the context, found on probes.

Source: AttentionInfluence, arXiv 2505.07293, section 3.1, after Wu et al., arXiv 2404.15574: while a value is
decoded, a head copies token w if its strongest attention falls on a token w. The strict score also asks that this
token lie inside the value's span; it is the one used.
Trap: the attention row that counts belongs to the token BEFORE the answer token, the query that predicts it.
Departures: answers are teacher-forced, all at once, instead of decoded greedily; hits count by position.
Cost: one forward pass over the probes; only the answers' rows of attention are computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from raypipe.lm.decoder import Decoder
from raypipe.lm.heads import Head
from raypipe.lm.packing import pack
from raypipe.lm.plan import plan_batches
from raypipe.lm.shape import Shape
from raypipe.score.heads.probes import RetrievalProbe


@dataclass
class HeadScores:
    """Mean share of answer tokens that each head copied: [layers, heads], in [0, 1]."""

    strict: np.ndarray
    lax: np.ndarray
    """The same, wherever the token stands."""


@torch.inference_mode()
def score_heads(decoder: Decoder, probes: Sequence[RetrievalProbe], *, token_budget: int) -> HeadScores:
    """The retrieval score of every head, averaged over the probes."""
    shape = decoder.shape
    strict, lax = (np.zeros((shape.n_layers, shape.n_heads)) for _ in range(2))
    lengths = np.array([len(probe.ids) for probe in probes])
    for rows in plan_batches(lengths, budget=max(token_budget, int(lengths.max()))):
        group = [probes[row] for row in rows]
        batch = pack([probe.ids for probe in group], device=decoder.device)
        watch = _Copies(shape, group, batch.cuts, batch.tokens, strict, lax)
        decoder(batch, observe=watch)
    return HeadScores(strict / len(probes), lax / len(probes))


@dataclass
class _Copies:
    """Adds up, layer by layer, which heads look at the token that is about to be said."""

    shape: Shape
    probes: Sequence[RetrievalProbe]
    cuts: np.ndarray
    tokens: torch.Tensor
    strict: np.ndarray
    lax: np.ndarray
    _positions: dict[int, torch.Tensor] = field(default_factory=dict)

    def __call__(self, layer: int, queries: torch.Tensor, keys: torch.Tensor) -> None:
        for probe, start in zip(self.probes, self.cuts, strict=False):
            stop = int(start) + len(probe.ids)
            rows = torch.from_numpy(probe.answer - 1 + start).to(queries.device)  # the query BEFORE each answer token
            strongest = self._strongest(queries[rows], keys[start:stop], probe.answer - 1)
            document = self.tokens[start:stop]
            said = document[torch.from_numpy(probe.answer).to(queries.device)]
            same = document[strongest] == said
            inside = (strongest >= probe.span[0]) & (strongest < probe.span[1])
            self.lax[layer] += same.double().mean(dim=1).cpu().numpy()
            self.strict[layer] += (same & inside).double().mean(dim=1).cpu().numpy()

    def _strongest(self, queries: torch.Tensor, keys: torch.Tensor, last_visible: np.ndarray) -> torch.Tensor:
        """[a, h, d], [t, k, d] -> position of the largest logit of each head and answer token, [h, a]."""
        repeated = keys.repeat_interleave(self.shape.n_heads // self.shape.n_kv_heads, dim=1)
        logits = torch.einsum("ahd,thd->hat", queries.float(), repeated.float())
        positions = torch.arange(keys.shape[0], device=keys.device)
        hidden = positions[None, :] > torch.from_numpy(last_visible).to(keys.device)[:, None]
        return logits.masked_fill(hidden[None], -torch.inf).argmax(dim=-1)


def top_heads(scores: np.ndarray, *, share: float) -> list[Head]:
    """The best `share` of all heads, rounded up, best first; ties by layer, then head.

    Raises
    ------
    ValueError
        If share isn't in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share of heads must be above 0 and at most 1, got {share}.")
    count = int(np.ceil(share * scores.size - 1e-9))
    order = np.argsort(-scores, axis=None, kind="stable")[:count]
    return [(int(flat // scores.shape[1]), int(flat % scores.shape[1])) for flat in order]
