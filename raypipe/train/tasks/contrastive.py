"""Pairs of texts whose vectors shall be near: the last token's state, InfoNCE over all pairs of a step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from raypipe.contracts.rows import Pair
from raypipe.contracts.task import Figure, Models, Placed, RowLosses
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed, pack
from raypipe.losses.info_nce import info_nce
from raypipe.train.loop.flops import matrix_parameters
from raypipe.train.tasks.task import SimpleTask

RECALL = Figure("recall@1")


class TextEncoder(nn.Module):
    """A transformers decoder from packed texts to a vector each: the state of its last token."""

    def __init__(self, causal: Any) -> None:
        super().__init__()
        self.decoder = causal.model
        use_packed_attention(causal)

    def forward(self, batch: Packed) -> torch.Tensor:
        """Vectors [n, d], float32."""
        hidden = self.decoder(**batch.model_inputs()).last_hidden_state[0]
        last = torch.tensor(batch.cuts[1:], device=hidden.device) - 1
        vectors: torch.Tensor = hidden[last].float()
        return vectors


class Contrastive(SimpleTask):
    """InfoNCE over the pairs of a whole step, of all workers; other pairs' positives are the negatives."""

    whole_step = True
    figures: Sequence[Figure] = (RECALL,)

    def __init__(self, causal: Any, *, temperature: float = 0.05) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        self._models, self._temperature = Models(TextEncoder(causal)), temperature
        self._n_matrix_parameters = matrix_parameters(causal)

    @property
    def models(self) -> Models:
        """The encoder is trained."""
        return self._models

    def count(self, pair: Pair) -> int:
        """One term a pair."""
        return 1

    def flops(self, pairs: Sequence[Pair]) -> float:
        """Of the products with weights in two forward passes and a backward one; attention isn't counted."""
        return 8.0 * self._n_matrix_parameters * sum(pair.size for pair in pairs)

    def collate(self, pairs: Sequence[Pair], device: torch.device) -> dict[str, Any]:
        """Queries, then positives, packed together.

        Raises
        ------
        ValueError
            If a pair brings negatives of its own: this task takes them from the step.
        """
        for pair in pairs:
            if pair.negatives:
                raise ValueError(f"{pair.path}, row {pair.row}: a contrastive task takes pairs without negatives.")
        texts = [pair.query for pair in pairs] + [pair.positive for pair in pairs]
        return {"batch": pack(texts, device=device)}

    def embed(self, models: Placed, tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
        """The vectors of queries and of positives, [n, d] each."""
        queries, positives = models.trained(tensors["batch"]).chunk(2)
        return {"queries": queries, "positives": positives}

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each pair; metrics: whether its own positive is the nearest."""
        queries, positives = tensors["queries"], tensors["positives"]
        losses = info_nce(queries, positives, temperature=self._temperature)
        with torch.no_grad():
            nearest = (nn.functional.normalize(queries, dim=1) @ nn.functional.normalize(positives, dim=1).T).argmax(1)
        own = torch.arange(len(losses), device=losses.device)
        return RowLosses(losses, own, {RECALL.name: nearest == own})

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Share of queries whose own positive is the nearest of those compared."""
        return {RECALL.name: float(metrics[RECALL.name].mean())}
