"""Negatives that are harder than those at hand: mixtures of a query's own negatives, brought to length 1 again.

Source: KaLM-Embedding-V2, arXiv 2506.20923, online hard-negative mixing: pairs of negatives by lambda ~ Beta(2, 2), and
the whole list weighted by its similarity to the query. Bringing to length 1 only lengthens, so a mixture is at least as
near to the query as its parts are on average.
Departures: what is drawn for a row is drawn from its place in the data, so that any number of workers mixes alike; a
row's mixtures are the same pairs in every epoch; the list is weighted by a softmax at the loss's own temperature, which
the source leaves open.
Cost: O(n (x + m) d) for x mixtures of m negatives a row.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

N_DRAWS = 5
"""Numbers that a mixture of two is made of: which two, and three for lambda."""


def mixed_pairs(negatives: "torch.Tensor", draws: "torch.Tensor") -> "torch.Tensor":
    """lambda n_j + (1 - lambda) n_k at length 1: [n, m, d] and draws [n, x, 5] in [0, 1) -> [n, x, d] float32.

    Raises
    ------
    ValueError
        If a row has fewer than two negatives.
    """
    import torch
    from torch.nn import functional

    m = negatives.shape[1]
    if m < 2:
        raise ValueError(f"a row must have at least 2 negatives to be mixed in pairs, got {m}.")
    unit = functional.normalize(negatives.float(), dim=2)
    one = (draws[..., 0] * m).long().clamp(max=m - 1)
    other = (one + 1 + (draws[..., 1] * (m - 1)).long().clamp(max=m - 2)) % m  # never the same
    share = draws[..., 2:].median(dim=2).values[..., None]  # the middle of three uniform numbers is Beta(2, 2)
    row = torch.arange(len(unit), device=unit.device)[:, None]
    return functional.normalize(share * unit[row, one] + (1 - share) * unit[row, other], dim=2)


def mixed_list(queries: "torch.Tensor", negatives: "torch.Tensor", *, temperature: float) -> "torch.Tensor":
    """All negatives of a row as one, at length 1, the likest to the query most: [n, d], [n, m, d] -> [n, 1, d] float32.

    The weights are taken as given, without a gradient of their own.

    >>> import torch
    >>> negatives = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> mixed_list(torch.tensor([[1.0, 0.0]]), negatives, temperature=0.1).shape
    torch.Size([1, 1, 2])
    """
    from torch.nn import functional

    unit = functional.normalize(negatives.float(), dim=2)
    similarity = (unit * functional.normalize(queries.float(), dim=1)[:, None]).sum(dim=2)
    weights = (similarity.detach() / temperature).softmax(dim=1)
    return functional.normalize((weights[..., None] * unit).sum(dim=1, keepdim=True), dim=2)
