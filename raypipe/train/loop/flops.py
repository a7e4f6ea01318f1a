"""Floating-point operations of a training step, and the peak they are compared with."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from raypipe.contracts.rows import Document
from raypipe.lm.products import in_8_bits, quantise

PEAK_S = 0.5
"""How long the peak is looked for: others who use the machine leave a gap sooner or later."""


def matrix_parameters(causal: Any) -> int:
    """Parameters that each token is multiplied with: all but the embedding, and the head, which may be tied to it."""
    embedding = causal.get_input_embeddings().weight
    seen = {id(weight): weight.numel() for weight in causal.parameters()}
    seen.pop(id(embedding), None)
    head = causal.get_output_embeddings()
    if isinstance(head, nn.Linear):
        seen[id(head.weight)] = head.weight.numel()
    return sum(seen.values())


def step_flops(n_matrix_parameters: int, config: Any, documents: Sequence[Document]) -> float:
    """Forward and backward: 6 a parameter and token, and causal attention over each document's real length.

    A layer's forward attention is two products of t x t / 2 x hidden, 2 t^2 hidden FLOPs; the backward pass twice that.
    Recomputation isn't counted. Source: A. Chowdhery et al., PaLM, JMLR 2023, appendix B.
    """
    tokens = sum(len(document.ids) for document in documents)
    squares = sum(len(document.ids) ** 2 for document in documents)
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    width = int(config.num_attention_heads * head_size)
    return 6.0 * n_matrix_parameters * tokens + 6.0 * int(config.num_hidden_layers) * width * squares


@cache
def measured_peak(device: torch.device, dtype: str) -> float:
    """FLOPs a second of a large matrix product on this device, the best of some: what MFU is a share of.

    `dtype` is a torch dtype's name, or float8. Measured once a process: one may train many models. On a machine that
    others use it comes out too low; `Meter` raises it to what a step reaches.
    """
    size = 8192 if device.type == "cuda" else 1024
    multiply, best = _product(size, device, dtype), 0.0
    until = time.perf_counter() + PEAK_S
    while time.perf_counter() < until or not best:
        started = time.perf_counter()
        product = multiply()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, 2.0 * size**3 / (time.perf_counter() - started))
    del product
    return best


def _product(size: int, device: torch.device, dtype: str) -> Callable[[], torch.Tensor]:
    if dtype == "float8":
        matrix = quantise(torch.randn(size, size, device=device))
        return lambda: in_8_bits(matrix, matrix, None)
    a = torch.randn(size, size, device=device, dtype=getattr(torch, dtype))
    return lambda: nn.functional.linear(a, a)
