"""One layer of a Llama-shaped decoder, with products that read the same input fused (QKV, gate and up)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from raypipe.lm.products import Float8Product, MatrixProduct
from raypipe.lm.shape import Shape


class Layer(nn.Module):
    """One decoder layer in two halves, before and after attention, each fit to be compiled."""

    def __init__(self, source: Any, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        attention, mlp = source.self_attn, source.mlp
        self.qkv = _fuse(attention.q_proj, attention.k_proj, attention.v_proj)
        self.out = _fuse(attention.o_proj)
        self.gate_up = _fuse(mlp.gate_proj, mlp.up_proj)
        self.down = _fuse(mlp.down_proj)
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
        fused = self.qkv(self._norm(hidden, self.norm_in))
        sizes = [heads * shape.head_size for heads in (shape.n_heads, shape.n_kv_heads, shape.n_kv_heads)]
        queries, keys, values = (part.unflatten(-1, (-1, shape.head_size)) for part in fused.split(sizes, dim=-1))
        queries = rotate(self._norm_heads(queries, self.norm_q), rotary)
        keys = rotate(self._norm_heads(keys, self.norm_k), rotary)
        if keep is not None:
            queries = queries * keep[:, None, :, None]
        return queries, keys, values

    def finish(self, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """What follows attention: the stream [v, t, hidden] and what was attended to [v, t, h, d] -> the stream."""
        hidden = hidden + self._norm(self.out(attended.flatten(2)), self.norm_attention)
        gate, up = self.gate_up(self._norm(hidden, self.norm_middle)).chunk(2, dim=-1)
        return hidden + self._norm(self.down(F.silu(gate) * up), self.norm_mlp)

    def to_float8(self) -> None:
        """Take the products in 8-bit floats from now on; the rest stays as it is."""
        for name in ("qkv", "out", "gate_up", "down"):
            setattr(self, name, Float8Product(getattr(self, name)))

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


def _fuse(*linears: Any) -> MatrixProduct:
    weight = torch.cat([linear.weight for linear in linears])
    return MatrixProduct(weight, None if linears[0].bias is None else torch.cat([linear.bias for linear in linears]))


def _weight(owner: Any, name: str) -> nn.Parameter | None:
    return getattr(owner, name).weight if hasattr(owner, name) else None
