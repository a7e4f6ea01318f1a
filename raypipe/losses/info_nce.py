"""InfoNCE: each query must find its own positive among those of all rows that come in together, and their negatives.

Source: A. van den Oord, Y. Li, O. Vinyals, Representation Learning with Contrastive Predictive Coding, arXiv
1807.03748, equation 4, with cosine similarity over a temperature for the score and the other rows' positives for the
negatives (T. Chen et al., A Simple Framework for Contrastive Learning, arXiv 2002.05709, section 2.1). Hard negatives
of all rows in the denominator, and terms weighted by (1 - p)^gamma: KaLM-Embedding-V2, arXiv 2506.20923. The sum over
first dimensions: A. Kusupati et al., Matryoshka Representation Learning, NeurIPS 2022, equation 1.
Departures: one way only, from queries to positives; the focal weight is taken as given, without a gradient of its own,
which the source leaves open.
Cost: O(n^2 (1 + m) d) for m negatives a row; the similarities [n, n (1 + m)] are held.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def info_nce(
    queries: "torch.Tensor",
    positives: "torch.Tensor",
    negatives: "torch.Tensor | None" = None,
    *,
    temperature: float,
    gamma: float = 0.0,
) -> "torch.Tensor":
    """-(1 - p)^gamma log p(own positive | query) in nats: [n, d], [n, d], [n, m, d] -> [n] float32.

    Vectors needn't have length 1. Negatives are those of every query, whoever's they are.
    """
    import torch
    from torch.nn import functional

    candidates = positives if negatives is None else torch.cat([positives, negatives.flatten(0, 1)])
    similarity = functional.normalize(queries.float(), dim=1) @ functional.normalize(candidates.float(), dim=1).T
    own = torch.arange(len(queries), device=queries.device)
    losses = functional.cross_entropy(similarity / temperature, own, reduction="none")
    return losses if gamma == 0 else (-torch.expm1(-losses.detach())).pow(gamma) * losses


def matryoshka_info_nce(
    queries: "torch.Tensor",
    positives: "torch.Tensor",
    negatives: "torch.Tensor | None" = None,
    *,
    weights: Mapping[int, float],
    temperature: float,
    gamma: float = 0.0,
) -> "torch.Tensor":
    """The sum of info_nce of the first dimensions alone, by how many they are, each times its weight: -> [n] float32.

    Raises
    ------
    ValueError
        If there is no weight, one isn't positive, or there aren't so many dimensions.
    """
    import torch

    n_dimensions = queries.shape[1]
    if not weights or not all(1 <= size <= n_dimensions and weight > 0 for size, weight in weights.items()):
        raise ValueError(f"weights must be above 0, of 1 to {n_dimensions} dimensions each, got {dict(weights)}.")
    terms = [
        weight
        * info_nce(
            queries[:, :size], positives[:, :size], None if negatives is None else negatives[..., :size],
            temperature=temperature, gamma=gamma,
        )
        for size, weight in weights.items()
    ]  # fmt: skip
    return torch.stack(terms).sum(dim=0)
