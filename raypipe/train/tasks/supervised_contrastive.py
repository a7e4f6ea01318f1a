"""Supervised contrastive learning on vectors: rows of a class shall be near one another, those of others far.

Source: P. Khosla et al., Supervised Contrastive Learning, NeurIPS 2020, equation 2 (the sum over positives outside the
logarithm), temperature 0.1; a linear map and length 1 in place of the paper's encoder and projection head.
Departures: the negatives are of the whole step, of all workers and passes; a row that is the only one of its class in
its step has no positive, and adds a term of 0.
Cost: O(n^2 d) for n rows of a step, with an [n, n] matrix on each worker.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from raypipe.contracts.rows import Vector
from raypipe.contracts.task import Figure, Models, Placed, RowLosses
from raypipe.train.tasks.task import SimpleTask

NEIGHBOUR = Figure("neighbour_accuracy")
NEVER = -1e9
"""A logit whose exponential is 0; an infinite one would give a step of a single row a gradient of NaN."""


class Projection(nn.Module):
    """Vectors [n, d] -> vectors of length 1 [n, e]."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_outputs, bias=False)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """The directions, float32."""
        return F.normalize(self.linear(X.to(self.linear.weight.dtype)).float(), dim=1)


class SupervisedContrastive(SimpleTask):
    """A projection of vectors under the supervised contrastive loss over a whole step."""

    whole_step = True
    figures: Sequence[Figure] = (NEIGHBOUR,)

    def __init__(self, *, n_features: int, n_outputs: int = 128, temperature: float = 0.1) -> None:
        """New weights, drawn from torch's generator."""
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        self._models, self._temperature = Models(Projection(n_features, n_outputs)), temperature
        self._flops = 8.0 * n_features * n_outputs  # two forward passes and a backward one

    @property
    def models(self) -> Models:
        """The projection is trained."""
        return self._models

    def count(self, row: Vector) -> int:
        """One term a row."""
        return 1

    def flops(self, rows: Sequence[Vector]) -> float:
        """Of the projection; the loss isn't counted."""
        return self._flops * len(rows)

    def collate(self, rows: Sequence[Vector], device: torch.device) -> dict[str, Any]:
        """Vectors [n, d] and labels [n].

        Raises
        ------
        ValueError
            If a row has no label.
        """
        for row in rows:
            if row.label is None:
                raise ValueError(f"{row.path}, row {row.row}: a row must have a label, got none.")
        X = torch.from_numpy(np.stack([row.x for row in rows])).to(device)
        return {"X": X, "labels": torch.tensor([int(row.label or 0) for row in rows], device=device)}

    def embed(self, models: Placed, tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
        """Directions [n, e] and labels [n]."""
        return {"directions": models.trained(tensors["X"]), "labels": tensors["labels"]}

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each row; metrics: whether its nearest other row has its label."""
        directions, labels = tensors["directions"], tensors["labels"]
        own = torch.arange(len(labels), device=labels.device)
        logits = (directions @ directions.T / self._temperature).fill_diagonal_(NEVER)
        is_positive = (labels[:, None] == labels).fill_diagonal_(False)
        log_p = torch.where(is_positive, logits - logits.logsumexp(dim=1, keepdim=True), 0.0)
        losses = -log_p.sum(dim=1) / is_positive.sum(dim=1).clamp(min=1)  # eq. 2
        return RowLosses(losses, own, {NEIGHBOUR.name: labels[logits.argmax(dim=1)] == labels})

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Share of rows whose nearest other row has their label."""
        return {NEIGHBOUR.name: float(metrics[NEIGHBOUR.name].mean())}
