"""Packed texts to a vector each, by a transformers model that is trained: any that `raypipe.models.encoder` opens."""

from typing import Any

import torch
from torch import nn

from raypipe.lm.packed_encoder import attend_in_place, states_in_place
from raypipe.lm.packing import Packed
from raypipe.lm.pooling import pool
from raypipe.models.sentence_files import Pooling


class TextEncoder(nn.Module):
    """A model without a head, perhaps with adapters, and how its token states become a vector."""

    def __init__(self, weights: Any, *, pooling: Pooling, is_causal: bool) -> None:
        super().__init__()
        self.weights, self._pooling = weights, pooling
        attend_in_place(self.plain, is_causal=is_causal)

    @property
    def plain(self) -> Any:
        """The model, its adapters in place."""
        return self.weights.get_base_model() if hasattr(self.weights, "get_base_model") else self.weights

    def forward(self, batch: Packed) -> torch.Tensor:
        """Vectors [n, d], float32, of any length."""
        lengths = torch.from_numpy(batch.lengths).to(batch.tokens.device)
        return pool(states_in_place(self.plain, batch), lengths, pooling=self._pooling)
