"""States of packed documents to one vector a document."""

import torch

from raypipe.models.sentence_files import Pooling


def pool(states: torch.Tensor, lengths: torch.Tensor, *, pooling: Pooling) -> torch.Tensor:
    """One vector a document: states [t, d] of documents of these lengths [n], each at least 1 -> [n, d] float32."""
    if pooling == "mean":
        # a sum by index would add in another order each time on a GPU
        return torch.segment_reduce(states.float(), "mean", lengths=lengths, unsafe=True)
    stops = lengths.cumsum(0)
    return states[stops - lengths if pooling == "cls" else stops - 1].float()
