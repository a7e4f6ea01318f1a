"""Multiple choice by likelihood: the choice that the model finds likeliest after the question.

Source: three ways to compare choices of unlike length, as L. Gao et al., A framework for few-shot language model
evaluation (lm-eval): the sum of log-likelihoods, the sum over the choice's bytes, and the mean over its tokens.
Departure: question and choice are one text to the tokenizer, and the question goes through the model once;
so do examples that neighbouring questions begin with.
Cost: one forward pass over a question and all its choices; logits of the choices' tokens only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.evaluate.benchmarks import Item
from raypipe.lm.branches import Branches, grown, losses_of_ways
from raypipe.lm.decoder import Decoder
from raypipe.models.boundary import scored_way
from raypipe.models.tokenizer import Vocabulary

WAYS = ("raw", "per_byte", "per_token")


@dataclass(frozen=True)
class Likelihoods:
    """Of the choices of one question."""

    log_likelihood: np.ndarray  # [k] nats
    n_bytes: np.ndarray  # [k] of the choice as it is written
    n_tokens: np.ndarray  # [k]

    def chosen(self, way: str) -> int:
        """Number of the likeliest choice, the first of several."""
        by = {"raw": 1, "per_byte": self.n_bytes, "per_token": self.n_tokens}[way]
        return int(np.argmax(self.log_likelihood / by))


def branches_of(item: Item, vocabulary: Vocabulary, *, max_tokens: int) -> Branches:
    """The ways of a question as token ids; one that is too long loses its beginning.

    Raises
    ------
    ValueError
        If a choice has no token, or more than fit.
    """
    texts, scored = [], []
    for context, way in zip(item.contexts, item.continuations, strict=True):
        both = scored_way(vocabulary, context, way)
        n = int(both.is_second.sum())
        if not 0 < n < max_tokens:
            raise ValueError(f"a choice must have 1 to {max_tokens - 1} tokens, {item.name} has one of {n}.")
        texts.append(both.ids[-max_tokens:])
        scored.append(both.is_second[-max_tokens:])
    return grown(texts, scored)


def answers(
    decoder: Decoder,
    vocabulary: Vocabulary,
    items: Sequence[Item],
    *,
    max_tokens: int,
    budget: int,
    heed: Callable[[], None] = lambda: None,
) -> list[Likelihoods]:
    """The likelihoods of each question's choices; `heed` is called between batches and may raise.

    Raises
    ------
    ValueError
        If a choice can't be scored, or a likelihood isn't finite; with the question.
    """
    rows = [branches_of(item, vocabulary, max_tokens=max_tokens) for item in items]
    losses = losses_of_ways(decoder, rows, max_tokens=max_tokens, budget=budget, heed=heed)
    found = [-each for each in losses]
    for item, likelihood in zip(items, found, strict=True):
        if not np.isfinite(likelihood).all():
            raise ValueError(f"the model's likelihoods must be finite, {item.name} has {likelihood}.")
    return [
        Likelihoods(
            likelihood,
            np.array([max(1, len(choice.encode())) for choice in item.choices]),
            np.array([scored.sum() for scored in row.is_scored]),
        )
        for item, row, likelihood in zip(items, rows, found, strict=True)
    ]
