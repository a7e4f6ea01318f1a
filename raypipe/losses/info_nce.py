"""InfoNCE: each query must find its own positive among those of all rows that come in together, and their negatives.

Source: A. van den Oord, Y. Li, O. Vinyals, Representation Learning with Contrastive Predictive Coding, arXiv
1807.03748, equation 4, with cosine similarity over a temperature for the score and the other rows' positives for the
negatives (T. Chen et al., A Simple Framework for Contrastive Learning, arXiv 2002.05709, section 2.1). Hard negatives
of all rows in the denominator, mixed ones of a query in its own alone, and the weight (1 - p)^gamma of a term:
KaLM-Embedding-V2, arXiv 2506.20923.
Departures: one way only, from queries to positives; the focal weight is taken as given, without a gradient of its own,
which the source leaves open; what is known to be no negative, such as the same text twice, is left out.
Cost: O(n^2 (1 + m) d) for m negatives a row; the similarities [n, n (1 + m)] are held.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NEVER = -1e9
"""A logit whose exponential is 0; an infinite one could make a gradient NaN."""


def info_nce(
    queries: "torch.Tensor",
    positives: "torch.Tensor",
    negatives: "torch.Tensor | None" = None,
    *,
    temperature: float,
    mixed: "torch.Tensor | None" = None,
    is_none: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """-log p(own positive | query) in nats: [n, d], [n, d], [n, m, d] -> [n] float32.

    Vectors needn't have length 1. Negatives are those of every query, whoever's they are; `mixed` [n, x, d] are each
    query's alone. `is_none` [n, n (1 + m)] bool: positives, then negatives row by row, that are none of a query's.

    >>> import torch
    >>> queries, positives = torch.eye(2), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> [round(loss, 3) for loss in info_nce(queries, positives, temperature=0.5).tolist()]
    [0.127, 0.127]
    """
    import torch
    from torch.nn import functional

    unit = functional.normalize(queries.float(), dim=1)
    candidates = positives if negatives is None else torch.cat([positives, negatives.flatten(0, 1)])
    logits = unit @ functional.normalize(candidates.float(), dim=1).T / temperature
    if is_none is not None:
        logits = logits.masked_fill(is_none, NEVER)
    if mixed is not None:
        own_alone = (functional.normalize(mixed.float(), dim=2) * unit[:, None]).sum(dim=2)
        logits = torch.cat([logits, own_alone / temperature], dim=1)
    own = torch.arange(len(queries), device=queries.device)
    return functional.cross_entropy(logits, own, reduction="none")


def focal_weight(losses: "torch.Tensor", *, gamma: float) -> "torch.Tensor":
    """(1 - p)^gamma of terms -log p: [n] -> [n] in [0, 1], without a gradient.

    >>> import torch
    >>> [round(weight, 2) for weight in focal_weight(torch.tensor([0.6931, 4.6052]), gamma=2.0).tolist()]
    [0.25, 0.98]
    """
    import torch

    return (-torch.expm1(-losses.detach())).clamp(0, 1).pow(gamma)
