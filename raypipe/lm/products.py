"""The matrix products of a layer, in the weights' own number format or in 8-bit floats."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import ScalingType

from raypipe.lm.shape import MULTIPLE

FLOAT8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FLOAT8).max
ROWS = ScalingType.RowWise
MIN_CAPABILITY = (8, 9)
"""Compute capability of a GPU that has 8-bit products (Ada, Hopper)."""


class MatrixProduct(nn.Module):
    """x -> x W^T + b; linear layers that read the same input are one."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), None if bias is None else nn.Parameter(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out]."""
        return F.linear(x, self.weight, self.bias)


class Float8Product(nn.Module):
    """A product of e4m3 numbers, added up in float32, out in bfloat16.

    Each row of W and each token has a scale of its own, so that one large activation costs the precision of its own
    token only. Where there is no kernel for 8-bit products (a CPU has one that only serves as a reference) the same
    numbers are multiplied as bfloat16, which holds them exactly; the result is rounded once more.

    Raises
    ------
    ValueError
        If a size of W is no multiple of 16.
    """

    def __init__(self, product: MatrixProduct) -> None:
        super().__init__()
        if any(size % MULTIPLE for size in product.weight.shape):
            raise ValueError(f"sizes of a float8 product must be multiples of {MULTIPLE}, got {product.weight.shape}.")
        weight, scale = quantise(product.weight.detach())
        self.weight, self.scale = nn.Buffer(weight), nn.Buffer(scale)
        self.bias = product.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] of any format -> [..., out] bfloat16."""
        weight = Quantised(self.weight, self.scale)
        return in_8_bits(quantise(x.flatten(0, -2)), weight, self.bias).view(*x.shape[:-1], -1)


class Quantised(NamedTuple):
    """A matrix in 8-bit floats."""

    values: torch.Tensor
    """e4m3 [n, in]."""
    scale: torch.Tensor
    """float32 [n, 1]: a row is its values times this."""


def quantise(x: torch.Tensor) -> Quantised:
    """[n, in] -> the same in 8 bits; the largest number of each row exactly."""
    x = x.float()
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny * LARGEST) / LARGEST
    return Quantised((x / scale).to(FLOAT8), scale)


def in_8_bits(rows: Quantised, weight: Quantised, bias: torch.Tensor | None) -> torch.Tensor:
    """[n, in], [out, in], [out] -> bfloat16 [n, out], by what is fast on this device."""
    multiply = scaled_product if rows.values.is_cuda else same_in_bfloat16
    return multiply(rows, weight, bias)


def scaled_product(rows: Quantised, weight: Quantised, bias: torch.Tensor | None) -> torch.Tensor:
    """The device's own 8-bit product."""
    product: torch.Tensor = F.scaled_mm(
        rows.values, weight.values.t(), rows.scale, ROWS, weight.scale.t(), ROWS, bias=bias,
        output_dtype=torch.bfloat16, use_fast_accum=True,
    )  # fmt: skip
    return product


def same_in_bfloat16(rows: Quantised, weight: Quantised, bias: torch.Tensor | None) -> torch.Tensor:
    """`scaled_product` for devices without one."""
    product = F.linear(rows.values.bfloat16(), weight.values.bfloat16()).float() * rows.scale * weight.scale.t()
    return (product if bias is None else product + bias).bfloat16()


def check_float8(device: torch.device) -> None:
    """Refuse a GPU without 8-bit products.

    Raises
    ------
    ValueError
        If its compute capability is below 8.9.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < MIN_CAPABILITY:
        name, (major, minor) = torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)
        raise ValueError(
            f"dtype float8 needs a GPU of compute capability 8.9 or newer, got {name} ({major}.{minor}); use bfloat16."
        )
