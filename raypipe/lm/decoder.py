"""A Llama-shaped decoder that runs several variants of itself over shared layers once.

Weights come from a transformers model. A variant is the model with some heads neutralised. Layers below a variant's
lowest neutralised head are the intact model's, so the variant joins at that layer as a copy of the intact stream: two
variants cost 1 + (L - k)/L passes instead of 2.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from raypipe.lm.attention import attention_over
from raypipe.lm.heads import Head, check_head
from raypipe.lm.layer import Layer
from raypipe.lm.packing import Packed
from raypipe.lm.products import check_float8
from raypipe.lm.shape import shape_of
from raypipe.models.architecture import check_kind

Observe = Callable[[int, torch.Tensor, torch.Tensor], None]


class Decoder(nn.Module):
    """A causal language model without its loss head: packed documents -> last hidden states of every variant.

    With a `compiler` (a backend of torch.compile) what surrounds attention is compiled, once for all layers. The
    products of the layers in `float8` are taken in 8-bit floats; those need bfloat16 weights. Unless it `is_causal`
    every token sees all of its document, which turns the model into an encoder. A model saved without its loss head
    will do; its `head` is then its embedding.
    """

    def __init__(
        self,
        model: Any,
        *,
        max_tokens: int,
        compiler: str | None = None,
        float8: Collection[int] = (),
        is_causal: bool = True,
    ) -> None:
        super().__init__()
        body = getattr(model, "model", model)
        self.is_causal = is_causal
        check_kind(model.config)
        self.shape = shape_of(model.config)
        if float8:
            check_float8(model.device)
        self.embedding: torch.Tensor = model.get_input_embeddings().weight
        self.norm: torch.Tensor = body.norm.weight
        head = model.get_output_embeddings()
        self.head: torch.Tensor = self.embedding if head is None else head.weight
        self._layers = nn.ModuleList()
        rotary = body.rotary_emb(self.norm[None, None], torch.arange(max_tokens, device=self.norm.device)[None])
        self.cos, self.sin = (nn.Buffer(table[0], persistent=False) for table in rotary)
        for index, layer in enumerate(body.layers):
            self._layers.append(Layer(layer, self.shape))
            if index in float8:
                self.layers[index].to_float8()
            body.layers[index] = nn.Identity()  # its weights are copied: memory holds one layer twice, no more
        for layer in self.layers if compiler is not None else []:
            layer.compile_halves(compiler or "")
        self.requires_grad_(False)
        self.layer_calls = 0.0
        """Layers run so far, in units of one variant over one batch: what the tests count."""

    @property
    def layers(self) -> list[Layer]:
        """From the embedding up."""
        return list(self._layers)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.norm.device

    def forward(
        self, batch: Packed, neutralised: Sequence[Iterable[Head]] = (), *, observe: Observe | None = None
    ) -> torch.Tensor:
        """Normed last hidden states [1 + v, t, hidden]: the intact model's, then each set of heads neutralised.

        `observe(layer, queries, keys)` sees the intact model's rotated queries [t, h, d] and keys [t, k, d].

        Raises
        ------
        ValueError
            If the model has no such head.
        """
        variants = [self._by_layer(heads) for heads in neutralised]
        rows = [-1]  # which variant each stream of `hidden` is, -1 the intact model
        attend = attention_over(batch.cuts, self.device, self.norm.dtype, is_causal=self.is_causal)
        rotary = (self.cos[batch.positions], self.sin[batch.positions])
        hidden = F.embedding(batch.tokens, self.embedding)[None]
        for index, layer in enumerate(self.layers):
            joining = [variant for variant, heads in enumerate(variants) if min(heads, default=None) == index]
            rows += joining
            hidden = torch.cat([hidden, hidden[:1].expand(len(joining), -1, -1)]) if joining else hidden
            keep = self._keep([variants[row].get(index, []) if row >= 0 else [] for row in rows])
            queries, keys, values = layer.project(hidden, rotary, keep)
            if observe is not None:
                observe(index, queries[0], keys[0])
            hidden = layer.finish(hidden, attend(queries, keys, values))
            self.layer_calls += len(rows)
        normed = F.rms_norm(hidden, (self.shape.hidden_size,), self.norm, self.shape.norm_epsilon)
        order = [0] + [rows.index(variant) if variants[variant] else 0 for variant in range(len(variants))]
        return normed if order == list(range(len(rows))) else normed[order]

    def _by_layer(self, heads: Iterable[Head]) -> dict[int, list[int]]:
        grouped: dict[int, list[int]] = {}
        for layer, head in heads:
            check_head((layer, head), n_layers=self.shape.n_layers, n_heads=self.shape.n_heads)
            grouped.setdefault(layer, []).append(head)
        return grouped

    def _keep(self, heads_by_row: list[list[int]]) -> torch.Tensor | None:
        """[v, heads] of 1 and 0, None if every head is kept."""
        if not any(heads_by_row):
            return None
        keep = torch.ones(len(heads_by_row), self.shape.n_heads, dtype=self.norm.dtype)
        for row, heads in enumerate(heads_by_row):
            keep[row, heads] = 0
        return keep.to(self.device, non_blocking=True)
