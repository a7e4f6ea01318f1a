"""What one would write without raypipe: transformers, padded batches, a pass intact and a pass neutralised."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PreTrainedModel

from raypipe.lm.heads import Head


@torch.inference_mode()
def plain_losses(
    model: PreTrainedModel, documents: Sequence[np.ndarray], heads: Sequence[Head], *, batch_size: int, by_length: bool
) -> tuple[np.ndarray, int]:
    """Mean losses of each document, [n, 2] (intact, neutralised), and how many positions were padding."""
    order = np.argsort([len(document) for document in documents]) if by_length else np.arange(len(documents))
    losses, padding = np.zeros((len(documents), 2)), 0
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        tokens, mask = _padded([documents[row] for row in rows], model.device)
        padding += int((1 - mask).sum())
        losses[rows, 0] = _mean_losses(model, tokens, mask)
        with neutralised(model, heads):
            losses[rows, 1] = _mean_losses(model, tokens, mask)
    return losses, padding


@contextmanager
def neutralised(model: PreTrainedModel, heads: Sequence[Head]) -> Iterator[None]:
    """The model with some heads' queries zeroed, by a hook on each layer's query projection."""

    def zero(size: int, chosen: list[int]):  # type: ignore[no-untyped-def]
        """A hook for one layer."""

        def hook(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
            """The queries with the chosen heads at zero."""
            queries = output.clone()
            queries.view(*queries.shape[:-1], -1, size)[:, :, chosen] = 0
            return queries

        return hook

    layers = model.model.layers
    handles = []
    for layer in {layer for layer, _ in heads}:
        attention = layers[layer].self_attn
        chosen = [head for at, head in heads if at == layer]
        handles.append(attention.q_proj.register_forward_hook(zero(attention.head_dim, chosen)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _padded(documents: list[np.ndarray], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(document) for document in documents)
    tokens = torch.zeros(len(documents), longest, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for row, document in enumerate(documents):
        tokens[row, : len(document)] = torch.from_numpy(document)
        mask[row, : len(document)] = 1
    return tokens.to(device), mask.to(device)


def _mean_losses(model: PreTrainedModel, tokens: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    logits = model(tokens, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    losses = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view(tokens[:, 1:].shape)
    kept = mask[:, 1:]
    return ((losses * kept).sum(1) / kept.sum(1)).cpu().numpy()
