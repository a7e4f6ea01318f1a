"""InfoNCE: each query must find its own positive among those of all rows that come in together.

Source: A. van den Oord, Y. Li, O. Vinyals, Representation Learning with Contrastive Predictive Coding, arXiv
1807.03748, equation 4, with cosine similarity over a temperature for the score and the other rows' positives for the
negatives (T. Chen et al., A Simple Framework for Contrastive Learning, arXiv 2002.05709, section 2.1).
Departures: one way only, from queries to positives.
Cost: O(n^2 d); the similarities [n, n] are held.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def info_nce(queries: "torch.Tensor", positives: "torch.Tensor", *, temperature: float) -> "torch.Tensor":
    """-log p(own positive | query) in nats: [n, d], [n, d] -> [n] float32; rows needn't have length 1."""
    import torch
    from torch.nn import functional

    similarity = functional.normalize(queries.float(), dim=1) @ functional.normalize(positives.float(), dim=1).T
    own = torch.arange(len(queries), device=queries.device)
    return functional.cross_entropy(similarity / temperature, own, reduction="none")
