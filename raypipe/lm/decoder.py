"""A Llama-shaped decoder that runs several variants of itself over shared layers once.

Weights come from a transformers model; products that read the same input are fused (QKV, gate and up). A variant is
the model with some heads neutralised. Layers below a variant's lowest neutralised head are the intact model's, so the
variant joins at that layer as a copy of the intact stream: two variants cost 1 + (L - k)/L passes instead of 2.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig

from raypipe.lm.attention import attention_over
from raypipe.lm.packing import Packed

Head = tuple[int, int]  # (layer, head), both from 0
Observe = Callable[[int, torch.Tensor, torch.Tensor], None]

ARCHITECTURES = ("llama", "mistral", "qwen2", "qwen3", "olmo2")
"""transformers model types whose layers this decoder can be: SmolLM, SmolLM2 and TinyLlama are `llama`."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_size: int
    hidden_size: int
    ffn_size: int
    vocabulary_size: int
    norm_epsilon: float


class Layer(nn.Module):
    """One decoder layer in two halves, before and after attention, each fit to be compiled."""

    def __init__(self, source: Any, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        attention, mlp = source.self_attn, source.mlp
        self.qkv, self.qkv_bias = _fuse(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out, self.out_bias = _fuse(attention.o_proj)
        self.gate_up, self.gate_up_bias = _fuse(mlp.gate_proj, mlp.up_proj)
        self.down, self.down_bias = _fuse(mlp.down_proj)
        norms_first = hasattr(source, "input_layernorm")  # OLMo 2 normalises what a block puts out, not what it reads
        self.norm_in = _weight(source, "input_layernorm")
        self.norm_middle = _weight(source, "post_attention_layernorm") if norms_first else None
        self.norm_attention = None if norms_first else _weight(source, "post_attention_layernorm")
        self.norm_mlp = _weight(source, "post_feedforward_layernorm")
        self.norm_q, self.norm_k = _weight(attention, "q_norm"), _weight(attention, "k_norm")

    def project(
        self, hidden: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor], keep: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What precedes attention: the stream -> queries [v, t, h, d], keys and values [v, t, k, d].

        `rotary` is (cos, sin), each [t, head]; `keep` [v, heads] is 0 for a variant's neutralised heads, else 1.
        """
        shape = self.shape
        fused = F.linear(self._norm(hidden, self.norm_in), self.qkv, self.qkv_bias)
        sizes = [heads * shape.head_size for heads in (shape.n_heads, shape.n_kv_heads, shape.n_kv_heads)]
        queries, keys, values = (part.unflatten(-1, (-1, shape.head_size)) for part in fused.split(sizes, dim=-1))
        queries = rotate(self._norm_heads(queries, self.norm_q), rotary)
        keys = rotate(self._norm_heads(keys, self.norm_k), rotary)
        if keep is not None:
            queries = queries * keep[:, None, :, None]
        return queries, keys, values

    def finish(self, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """What follows attention: the stream [v, t, hidden] and what was attended to [v, t, h, d] -> the stream."""
        hidden = hidden + self._norm(F.linear(attended.flatten(2), self.out, self.out_bias), self.norm_attention)
        gate, up = F.linear(self._norm(hidden, self.norm_middle), self.gate_up, self.gate_up_bias).chunk(2, dim=-1)
        return hidden + self._norm(F.linear(F.silu(gate) * up, self.down, self.down_bias), self.norm_mlp)

    def compile_halves(self, backend: str) -> None:
        """Compile what precedes and what follows attention, so that norms, rotary and SwiGLU are fused."""
        for name in ("project", "finish"):
            setattr(self, name, torch.compile(getattr(self, name), backend=backend, dynamic=True))

    def _norm(self, x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        return x if weight is None else F.rms_norm(x, (x.shape[-1],), weight, self.shape.norm_epsilon)

    def _norm_heads(self, x: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        if weight is None or weight.shape[0] == x.shape[-1]:  # Qwen 3: over each head
            return self._norm(x, weight)
        return self._norm(x.flatten(-2), weight).view(x.shape)  # OLMo 2: over all heads at once


def rotate(x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary position embedding of [v, t, h, d], halves paired as transformers does."""
    half = x.shape[-1] // 2
    cos, sin = (table[None, :, None, :half] for table in rotary)  # both halves of a table are the same
    first, second = x[..., :half], x[..., half:]
    if torch.compiler.is_compiling():  # fused with what is around it; a slice as `out` would break the graph
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    torch.mul(first, cos, out=out[..., :half]).addcmul_(second, sin, value=-1)  # two passes over memory instead of five
    torch.mul(second, cos, out=out[..., half:]).addcmul_(first, sin)
    return out


class Decoder(nn.Module):
    """A causal language model without its loss head: packed documents -> last hidden states of every variant.

    With a `compiler` (a backend of torch.compile) what surrounds attention is compiled, once for all layers.
    """

    def __init__(self, model: Any, *, max_tokens: int, compiler: str | None = None) -> None:
        super().__init__()
        self.shape = shape_of(model.config)
        self.embedding: torch.Tensor = model.get_input_embeddings().weight
        self.norm: torch.Tensor = model.model.norm.weight
        self.head: torch.Tensor = model.get_output_embeddings().weight
        self._layers = nn.ModuleList()
        rotary = model.model.rotary_emb(self.norm[None, None], torch.arange(max_tokens, device=self.norm.device)[None])
        self.cos, self.sin = (nn.Buffer(table[0], persistent=False) for table in rotary)
        for index, layer in enumerate(model.model.layers):
            self._layers.append(Layer(layer, self.shape))
            model.model.layers[index] = nn.Identity()  # its weights are copied: memory holds one layer twice, no more
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
        attend = attention_over(batch.cuts, self.device, self.norm.dtype)
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
            if not (0 <= layer < self.shape.n_layers and 0 <= head < self.shape.n_heads):
                raise ValueError(
                    f"a head must be within {self.shape.n_layers} layers x {self.shape.n_heads} heads, "
                    f"got {(layer, head)}."
                )
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


def _fuse(*linears: Any) -> tuple[nn.Parameter, nn.Parameter | None]:
    weight = nn.Parameter(torch.cat([linear.weight for linear in linears]))
    if linears[0].bias is None:
        return weight, None
    return weight, nn.Parameter(torch.cat([linear.bias for linear in linears]))


def _weight(owner: Any, name: str) -> nn.Parameter | None:
    return getattr(owner, name).weight if hasattr(owner, name) else None


def check_architecture(config: PreTrainedConfig, *, max_tokens: int) -> None:
    """Refuse, before any weight is read, a model that this decoder would not compute exactly.

    Raises
    ------
    ValueError
        If the architecture is another, or its attention doesn't reach `max_tokens` back.
    """
    kind, name = config.model_type, config.architectures or config.model_type
    if kind not in ARCHITECTURES:
        raise ValueError(f"model must be one of {', '.join(ARCHITECTURES)}, got {kind!r} ({name}).")
    if config.hidden_act != "silu" or getattr(config, "pretraining_tp", 1) != 1:
        raise ValueError(f"model must have SwiGLU layers and pretraining_tp 1, got {config.hidden_act!r} ({name}).")
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    if rope in ("dynamic", "longrope"):
        raise ValueError(f"rotary embedding must not depend on the length of the input, got {rope!r} ({name}).")
    layer_types = getattr(config, "layer_types", None)
    slides = "sliding_attention" in layer_types if layer_types else getattr(config, "sliding_window", None) is not None
    window = config.sliding_window if slides else None
    reach = min(config.max_position_embeddings, window or config.max_position_embeddings)
    if reach < max_tokens:
        raise ValueError(f"max_tokens must be at most the {reach} tokens that the model attends to, got {max_tokens}.")


def shape_of(config: PreTrainedConfig) -> Shape:
    """The sizes of a model, from its configuration."""
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        n_kv_heads=config.num_key_value_heads,
        head_size=head_size,
        hidden_size=config.hidden_size,
        ffn_size=config.intermediate_size,
        vocabulary_size=config.vocab_size,
        norm_epsilon=config.rms_norm_eps,
    )
