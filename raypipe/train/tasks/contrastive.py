"""Texts whose vectors shall be near, and those that shall be far: the last token's state, InfoNCE over a whole step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from raypipe.contracts.rows import Pair
from raypipe.contracts.task import Figure, Models, Placed, RowLosses
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed, pack
from raypipe.losses.info_nce import info_nce, matryoshka_info_nce
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
    """InfoNCE over the rows of a whole step, of all workers; negatives are other rows' positives, and all rows' own."""

    whole_step = True
    figures: Sequence[Figure] = (RECALL,)

    def __init__(
        self, causal: Any, *, temperature: float = 0.05, n_negatives: int = 0, gamma: float = 0.0,
        dimensions: Mapping[int, float] | None = None,
    ) -> None:  # fmt: skip
        """An encoder that is trained on pairs, each with so many negatives of its own.

        `gamma` above 0 gives rows that are easy already less weight; `dimensions` (how many of the first -> weight)
        makes vectors that can be cut.
        """
        if temperature <= 0 or n_negatives < 0 or gamma < 0:
            raise ValueError(
                f"temperature must be above 0, n_negatives and gamma at least 0, got {temperature}, {n_negatives}, "
                f"{gamma}."
            )
        self._models, self._temperature = Models(TextEncoder(causal)), temperature
        self._n_negatives, self._gamma, self._dimensions = n_negatives, gamma, dimensions
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
        """Queries, then positives, then row by row the negatives, packed together.

        Raises
        ------
        ValueError
            If a row brings another number of negatives than the task takes.
        """
        for pair in pairs:
            if len(pair.negatives) != self._n_negatives:
                raise ValueError(
                    f"{pair.path}, row {pair.row}: a row must bring {self._n_negatives} negatives, got "
                    f"{len(pair.negatives)}."
                )
        texts = [pair.query for pair in pairs] + [pair.positive for pair in pairs]
        return {"batch": pack([*texts, *(text for pair in pairs for text in pair.negatives)], device=device)}

    def embed(self, models: Placed, tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
        """The vectors of queries and of positives, [n, d] each, and of negatives [n, m, d], where there are any."""
        vectors = models.trained(tensors["batch"])
        n = len(vectors) // (2 + self._n_negatives)
        found = {"queries": vectors[:n], "positives": vectors[n : 2 * n]}
        if self._n_negatives:
            found["negatives"] = vectors[2 * n :].unflatten(0, (n, self._n_negatives))
        return found

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each row; metrics: whether its own positive is the nearest of all positives."""
        queries, positives, negatives = tensors["queries"], tensors["positives"], tensors.get("negatives")
        given: dict[str, Any] = {"temperature": self._temperature, "gamma": self._gamma}
        if self._dimensions is None:
            losses = info_nce(queries, positives, negatives, **given)
        else:
            losses = matryoshka_info_nce(queries, positives, negatives, weights=self._dimensions, **given)
        with torch.no_grad():
            nearest = (nn.functional.normalize(queries, dim=1) @ nn.functional.normalize(positives, dim=1).T).argmax(1)
        own = torch.arange(len(losses), device=losses.device)
        return RowLosses(losses, own, {RECALL.name: nearest == own})

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Share of queries whose own positive is the nearest of those compared."""
        return {RECALL.name: float(metrics[RECALL.name].mean())}
