"""Next-token prediction through a factored output layer: exact gradient descent on it at a cost free of the vocabulary.

The layer is no weight of the engine: it is this task's state, the same on every worker and in checkpoints. A step
gathers the states and targets of all passes and workers, takes the gradient by the states from the layer as it is, and
changes the layer once, after the engine's step, on each worker alike.

Source: see raypipe/losses/factored_head.py and z_loss.py.
Departures: the layers below it learn by the engine's optimiser; the source trains all by gradient descent.
Cost: a second forward pass (see loop/whole_step.py); O(d^2) a token and the states of a step on each worker.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Figure, Models, Placed, RowLosses, Tensors
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed
from raypipe.losses.factored_head import FactoredHead, OutputSums
from raypipe.losses.z_loss import ZLoss, z_loss_of
from raypipe.train.loop.flops import matrix_parameters, step_flops
from raypipe.train.tasks.next_token import NextToken

TOP_10, RANK = Figure("top10"), Figure("mean_rank", higher_is_better=False)
CHUNK_OUTPUTS = 1 << 24
"""Outputs that are held at once where tokens are ranked."""


class StateModel(nn.Module):
    """A transformers causal LM, its output layer taken off, from packed documents to what that was given."""

    def __init__(self, causal: Any) -> None:
        super().__init__()
        self.causal = causal
        use_packed_attention(causal)

    def forward(self, batch: Packed, sources: torch.Tensor) -> torch.Tensor:
        """States [p, d] at positions `sources` [p]; float32 at least."""
        hidden = self.causal.model(**batch.model_inputs()).last_hidden_state[0][sources]
        states: torch.Tensor = hidden if hidden.dtype == torch.float64 else hidden.float()
        return states


class _Due(NamedTuple):
    """What the layer has to be changed by, of a step."""

    states: torch.Tensor
    targets: torch.Tensor
    by: OutputSums


class FactoredNextToken(NextToken):
    """Next-token prediction under the Z-loss; held-out figures are ranks, as its outputs are no probabilities."""

    whole_step = True
    figures: Sequence[Figure] = (TOP_10, RANK)

    def __init__(self, causal: Any, loss: ZLoss, *, length: int, learning_rate: Callable[[int], float]) -> None:
        """Of documents of at most `length` tokens; the layer's learning rate is that of each step, from 0 on.

        The layer begins with the model's own output weights, and the model keeps none.
        """
        weight = causal.get_output_embeddings().weight.detach()
        loss.check(len(weight))
        self._config, self._n_matrix_parameters = causal.config, matrix_parameters(causal) - weight.numel()
        self.head = FactoredHead(weight)
        causal.set_output_embeddings(nn.Identity())
        causal.config.tie_word_embeddings = False
        self._module = StateModel(causal)
        self._models, self._loss, self._length, self._learning_rate = Models(self._module), loss, length, learning_rate
        self._due: _Due | None = None

    @property
    def models(self) -> Models:
        """The model without its output layer is trained by the engine."""
        return self._models

    def flops(self, documents: Sequence[Document]) -> float:
        """Of two forward passes and a backward one, and of the d x d products of the layer."""
        tokens, d = sum(self.count(document) for document in documents), self.head.V.shape[1]
        return 4 / 3 * step_flops(self._n_matrix_parameters, self._config, documents) + 12.0 * d * d * tokens

    def embed(self, models: Placed, tensors: dict[str, Any]) -> dict[str, torch.Tensor]:
        """States [n, length - 1, d], zeros after a row's last; targets [n, length - 1], -1 there."""
        found, owners = models.trained(tensors["batch"], tensors["sources"]), tensors["owners"]
        n = len(tensors["batch"].cuts) - 1
        starts = torch.searchsorted(owners, torch.arange(n, device=owners.device))
        at = owners, torch.arange(len(owners), device=owners.device) - starts[owners]
        states = found.new_zeros(n, self._length - 1, found.shape[1]).index_put(at, found)
        targets = owners.new_full((n, self._length - 1), -1).index_put(at, tensors["targets"])
        return {"states": states, "targets": targets}

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each token; on held-out rows, by row: tokens, those among the first ten, sums of ranks."""
        is_there = tensors["targets"] >= 0
        owners = is_there.nonzero()[:, 0]
        states, targets = tensors["states"][is_there], tensors["targets"][is_there]
        self.head.to(states.device)
        seen = self.head.seen(states, targets)
        losses = z_loss_of(*seen, n_outputs=self.head.n_outputs, loss=self._loss).to(states.dtype)
        if not self._module.training:
            return RowLosses(losses, owners, self._ranked(states, targets, owners, len(is_there)))
        apart = OutputSums(*(value.detach().requires_grad_() for value in seen))
        with torch.enable_grad():
            mean = z_loss_of(*apart, n_outputs=self.head.n_outputs, loss=self._loss).mean()
        self._due = _Due(states.detach(), targets, OutputSums(*torch.autograd.grad(mean, apart)))
        return RowLosses(losses, owners)

    def after_step(self, weights: Tensors, step: int) -> None:
        """Change the layer, by what was seen of it before the engine's step."""
        if self._due is not None:
            due, self._due = self._due, None
            self.head.update(due.states, due.targets, due.by, learning_rate=self._learning_rate(step - 1))

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The share of tokens whose own output is among the ten largest, and the mean place of it, 1 being the first.

        Raises
        ------
        ValueError
            If no held-out row has a token with a loss.
        """
        n = metrics["tokens"].sum()
        if n == 0:
            raise ValueError("held-out rows must have tokens with a loss, got none.")
        return {TOP_10.name: float(metrics["first_ten"].sum() / n), RANK.name: float(metrics["ranks"].sum() / n)}

    def state(self) -> dict[str, torch.Tensor]:
        """The layer."""
        return {name: value.cpu().contiguous() for name, value in self.head.state().items()}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take up a layer."""
        self.head.load_state(state)

    def with_layer(self) -> Any:
        """The transformers model with the layer in its place, as one matrix."""
        weight = self.head.weight()
        linear = nn.Linear(weight.shape[1], len(weight), bias=False, dtype=weight.dtype, device="meta")
        linear.weight = nn.Parameter(weight.cpu())
        causal: Any = self._module.causal
        causal.set_output_embeddings(linear)
        return causal

    def _ranked(self, states: torch.Tensor, targets: torch.Tensor, owners: torch.Tensor, n: int) -> dict[str, Any]:
        ranks = self.ranks(states, targets).double()
        counts = {"tokens": torch.ones_like(ranks), "first_ten": (ranks <= 10).double(), "ranks": ranks}
        return {name: ranks.new_zeros(n).index_add(0, owners, value) for name, value in counts.items()}

    def ranks(self, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The place [p] of each target's output among all, from 1 on; equal ones count as before it."""
        found, size = [], max(1, CHUNK_OUTPUTS // self.head.n_outputs)
        for H, of in zip(states.split(size), targets.split(size), strict=True):
            outputs = self.head.outputs(H)
            found.append((outputs >= outputs.gather(1, of[:, None])).sum(dim=1))
        return torch.cat(found) if found else targets
