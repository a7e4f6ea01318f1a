"""Which weights of a network stay: masks of an exact number of True, by score, by pattern, by unit, grown and dropped.

Everything here is a function of tensors by name; True is kept. A number of weights is always exact: ties go to the one
that comes first, so that dead inputs, whose scores are all 0, are neither all kept nor all dropped.

Source: U. Evci et al., Rigging the Lottery, ICML 2020, section 3 (ERK, drop and grow, equation 1); N. Lee et al., SNIP,
ICLR 2019, equation 6; C. Wang et al., Picking Winning Tickets Before Training, ICLR 2020, equations 6 to 8 (GraSP);
M. Zhu, S. Gupta, To Prune, or Not to Prune, 2017, equation 1; A. Mishra et al., Accelerating Sparse Deep Neural
Networks, 2021 (N:M). Named and set beside one another by S. Liu, Z. Wang, Ten Lessons, arXiv 2302.02596.
Departures: GraSP's score is the source's with its sign turned, so that here too the largest are kept.
Cost: a sort of all scores.
"""

import math
from collections.abc import Mapping, Sequence

import torch

Weights = Mapping[str, torch.Tensor]
Masks = dict[str, torch.Tensor]
Unit = Sequence[tuple[str, int]]
"""Tensors that share units, each with the axis along which it has them: what leads into a unit, and what out of it."""


def n_kept(sizes: Mapping[str, int], sparsity: float) -> int:
    """How many weights stay in all.

    Raises
    ------
    ValueError
        If the sparsity isn't in [0, 1), or leaves nothing.
    """
    n = sum(sizes.values())
    kept = round((1 - sparsity) * n)
    if not 0 <= sparsity < 1 or kept < 1:
        raise ValueError(f"sparsity must be in [0, 1) and leave some of the {n:,} weights, got {sparsity}.")
    return kept


def uniform_budgets(weights: Weights, sparsity: float) -> dict[str, int]:
    """How many of each tensor stay if all are thinned alike; the sum is exact."""
    sizes = {name: weight.numel() for name, weight in weights.items()}
    return _rounded({name: size * (1 - sparsity) for name, size in sizes.items()}, sizes, n_kept(sizes, sparsity))


def erk_budgets(weights: Weights, sparsity: float) -> dict[str, int]:
    """Likewise with densities in proportion to (inputs + outputs) / (inputs x outputs), 1 at most."""
    sizes = {name: weight.numel() for name, weight in weights.items()}
    rate = {name: sum(weight.shape) / weight.numel() for name, weight in weights.items()}
    whole, total = set[str](), n_kept(sizes, sparsity)
    while True:
        rest = [name for name in sizes if name not in whole]
        asked = total - sum(sizes[name] for name in whole)
        scale = asked / sum(rate[name] * sizes[name] for name in rest) if rest else 0.0
        full = {name for name in rest if scale * rate[name] > 1}
        if not full:
            break
        whole |= full
    exact = {name: float(size) if name in whole else scale * rate[name] * size for name, size in sizes.items()}
    return _rounded(exact, sizes, total)


def _rounded(exact: Mapping[str, float], sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole numbers that sum up to `total`: the largest fractions are rounded up."""
    found = {name: min(sizes[name], math.floor(value)) for name, value in exact.items()}
    by_fraction = sorted(exact, key=lambda name: found[name] - exact[name])
    while missing := total - sum(found.values()):
        step = 1 if missing > 0 else -1
        for name in by_fraction[: abs(missing)] if step > 0 else by_fraction[::-1][: abs(missing)]:
            found[name] += step if 0 <= found[name] + step <= sizes[name] else 0
    return found


def largest(score: torch.Tensor, n: int) -> torch.Tensor:
    """The mask of the `n` largest of a tensor; of equal ones the first."""
    order = torch.sort(score.reshape(-1), descending=True, stable=True).indices
    mask = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    mask[order[:n]] = True
    return mask.view(score.shape)


def largest_of_all(scores: Weights, n: int) -> Masks:
    """The masks of the `n` largest of several tensors together.

    Raises
    ------
    ValueError
        If a score is NaN.
    """
    flat = torch.cat([score.reshape(-1) for score in scores.values()])
    if flat.isnan().any():
        raise ValueError("scores of weights must be numbers, got NaN; see that the loss is finite.")
    parts = largest(flat, n).split([score.numel() for score in scores.values()])
    return {name: part.view(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def random_masks(weights: Weights, budgets: Mapping[str, int], seed: int) -> Masks:
    """Masks of these numbers, drawn on the CPU by the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: largest(torch.rand(weight.shape, generator=generator), budgets[name]).to(weight.device)
        for name, weight in weights.items()
    }


def snip_scores(weights: Weights, gradients: Weights) -> Masks:
    """|w g|: how much the loss depends on a weight's being there, at first order."""
    return {name: (weight * gradients[name]).abs() for name, weight in weights.items()}


def grasp_scores(weights: Weights, products: Weights) -> Masks:
    """w (H g), from the products of Hessian and gradient: what a weight does for the flow of gradients."""
    return {name: weight * products[name] for name, weight in weights.items()}


def n_of_m(weight: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """The mask of the `n` largest by magnitude of every `m` consecutive inputs of an output: [outputs, inputs].

    Raises
    ------
    ValueError
        If inputs don't come in groups of m, or n isn't in [1, m).
    """
    if not 1 <= n < m or weight.ndim != 2 or weight.shape[1] % m:
        raise ValueError(
            f"n:m must have 1 <= n < m and inputs in whole groups of m, got {n}:{m} for weights of "
            f"{list(weight.shape)}."
        )
    groups = weight.abs().reshape(len(weight), -1, m)
    order = torch.sort(groups, dim=2, descending=True, stable=True).indices[..., :n]
    return torch.zeros_like(groups, dtype=torch.bool).scatter_(2, order, True).view(weight.shape)


def unit_masks(weights: Weights, unit: Unit, sparsity: float) -> Masks:
    """Masks that drop a share of units whole, those of the smallest norm over all that leads in and out.

    Raises
    ------
    ValueError
        If the share isn't in [0, 1), or leaves none.
    """
    norms = torch.stack([_along(weights[name], axis).square().sum(dim=1) for name, axis in unit]).sum(dim=0)
    stays = largest(norms, n_kept({"units": len(norms)}, sparsity))
    masks = {}
    for name, axis in unit:
        shape = [1] * weights[name].ndim
        shape[axis] = len(stays)
        masks[name] = stays.view(shape).expand_as(weights[name]).clone()
    return masks


def _along(weight: torch.Tensor, axis: int) -> torch.Tensor:
    return weight.movedim(axis, 0).flatten(1)


def drop_share(step: int, until: float, first: float) -> float:
    """Share of a layer's kept weights that an update exchanges: `first`, down to 0 by a cosine. RigL, equation 1."""
    return first / 2 * (1 + math.cos(math.pi * min(1.0, step / until)))


def exchanged(weight: torch.Tensor, mask: torch.Tensor, share: float, growth: torch.Tensor) -> torch.Tensor:
    """The mask with a share of its smallest weights dropped and as many others grown where `growth` is largest.

    What was dropped just now isn't grown again. The number of kept weights stays the same.
    """
    n_free = int((~mask).sum())
    n = min(int(share * int(mask.sum())), n_free)
    magnitude = torch.where(mask, weight.abs(), -torch.inf)
    stays = largest(magnitude, int(mask.sum()) - n)
    return stays | largest(torch.where(mask, -torch.inf, growth), n)


def gradual_sparsity(step: int, first: int, last: int, sparsity: float) -> float:
    """From 0 at `first` to `sparsity` at `last`, by a cube: fast, then slower."""
    done = min(1.0, max(0.0, (step - first) / max(1, last - first)))
    return sparsity * (1 - (1 - done) ** 3)


def shrunk(weights: Weights, masks: Masks, n: int) -> Masks:
    """The masks of the `n` largest magnitudes among those kept so far."""
    return largest_of_all({name: torch.where(masks[name], of.abs(), -1.0) for name, of in weights.items()}, n)


def share_dropped(masks: Mapping[str, torch.Tensor]) -> float:
    """Sparsity of all masks together."""
    return 1 - sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
