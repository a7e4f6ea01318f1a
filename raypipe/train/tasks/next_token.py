"""The task of predicting the next token of packed documents; also of answers only (supervised finetuning)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Models, Placed, RowLosses
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed, pack
from raypipe.losses.z_loss import ZLoss, z_loss
from raypipe.train.loop.flops import matrix_parameters, step_flops
from raypipe.train.tasks.task import SimpleTask

CHUNK_LOGITS = {"cpu": 1 << 25, "cuda": 1 << 28}
"""From so many logits on they are computed in chunks: never all in memory."""


class LossHead(nn.Module):
    """The output matrix and the loss in one module, so that engines that split weights gather it for both."""

    def __init__(self, linear: nn.Linear, loss: ZLoss | None = None) -> None:
        super().__init__()
        self.weight, self.loss = linear.weight, loss
        self.holds_logits = False
        """Whether all logits are held, however many: the loss that computes them in chunks has no second derivative."""

    def forward(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """-log p(target) in nats, or the Z-loss: hidden [p, d], targets [p] -> [p] float32."""
        if self.loss is not None:
            return z_loss(F.linear(hidden, self.weight).float(), targets, self.loss)
        options = getattr(nn, "LinearCrossEntropyOptions", None)
        few = len(targets) * self.weight.shape[0] < CHUNK_LOGITS[hidden.device.type]
        if options is None or few or self.holds_logits:
            return F.cross_entropy(F.linear(hidden, self.weight).float(), targets, reduction="none")
        return F.linear_cross_entropy(hidden, self.weight, targets, reduction="none", options=options()).float()


class LanguageModel(nn.Module):
    """A transformers causal LM from packed documents to the losses of their tokens."""

    def __init__(self, causal: Any, loss: ZLoss | None = None) -> None:
        super().__init__()
        self.causal = causal
        use_packed_attention(causal)
        plain = causal.get_base_model() if hasattr(causal, "get_base_model") else causal  # peft wraps
        self.head = LossHead(plain.get_output_embeddings(), loss)

    def forward(self, batch: Packed, sources: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Losses [p] of the tokens that follow the positions `sources` [p]."""
        plain = self.causal.get_base_model() if hasattr(self.causal, "get_base_model") else self.causal
        hidden = plain.model(**batch.model_inputs()).last_hidden_state[0]
        losses: torch.Tensor = self.head(hidden[sources], targets)
        return losses


class NextToken(SimpleTask):
    """Next-token prediction: each token of a document but its first, or those that `has_loss` marks."""

    def __init__(self, causal: Any, loss: ZLoss | None = None) -> None:
        """Cross-entropy, or the Z-loss given; losses of the latter are no nats."""
        if loss is not None:
            loss.check(int(causal.config.vocab_size))
        self._module: nn.Module = LanguageModel(causal, loss)
        self._config, self._n_matrix_parameters = causal.config, matrix_parameters(causal)

    @property
    def module(self) -> nn.Module:
        """The language model with its loss head."""
        return self._module

    @property
    def models(self) -> Models:
        """The language model is trained."""
        return Models(self._module)

    def count(self, document: Document) -> int:
        """Tokens with a loss."""
        return len(document.ids) - 1 if document.has_loss is None else int(document.has_loss[1:].sum())

    def flops(self, documents: Sequence[Document]) -> float:
        """Of forward and backward."""
        return step_flops(self._n_matrix_parameters, self._config, documents)

    def collate(self, documents: Sequence[Document], device: torch.device) -> dict[str, Any]:
        """The documents packed, and which positions predict what."""
        is_target = np.concatenate([_is_target(document) for document in documents])
        owners = np.repeat(np.arange(len(documents)), [len(document.ids) for document in documents])
        at = np.flatnonzero(is_target)
        batch = pack([document.ids for document in documents], device=device)
        targets = torch.from_numpy(at).to(device)
        return {
            "batch": batch,
            "sources": targets - 1,
            "targets": batch.tokens[targets],
            "owners": torch.from_numpy(owners[at]).to(device),
        }

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each token with a loss."""
        return RowLosses(models.trained(tensors["batch"], tensors["sources"], tensors["targets"]), tensors["owners"])


def _is_target(document: Document) -> np.ndarray:
    """[t] whether a token is learnt; the first has nothing before it."""
    marked = np.ones(len(document.ids), bool) if document.has_loss is None else document.has_loss.copy()
    marked[0] = False
    return marked
