"""States of a frozen language model, a vector a document: computed once, whatever is then learned from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def keep_layers(causal: Any, n_layers: int) -> Any:
    """The model's body with its first layers alone and no last norm, which is made for the last layer's states.

    The model given is cut itself.

    Raises
    ------
    ValueError
        If it has fewer layers.
    """
    body = causal.model
    if not 1 <= n_layers <= len(body.layers):
        raise ValueError(f"n_layers must be between 1 and the model's {len(body.layers)}, got {n_layers}.")
    body.layers = body.layers[:n_layers]
    body.norm = torch.nn.Identity()
    return body.eval()


@torch.no_grad()
def mean_states(body: Any, documents: Sequence[np.ndarray], *, batch: int = 32) -> np.ndarray:
    """The mean over each document's tokens of the body's states: [n] arrays of token ids -> [n, d] float32.

    Documents of like length go through together, padded on the right, which causal attention doesn't see.

    Raises
    ------
    ValueError
        If a document has no token.
    """
    sizes = np.array([len(document) for document in documents])
    if not sizes.all():
        raise ValueError(f"documents must have tokens, number {int(sizes.argmin())} has none.")
    device = next(body.parameters()).device
    found = np.zeros((len(documents), body.config.hidden_size), np.float32)
    order = np.argsort(sizes, kind="stable")
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        ids = np.zeros((len(rows), sizes[rows].max()), np.int64)
        for at, row in enumerate(rows):
            ids[at, : sizes[row]] = documents[row]
        is_token = np.arange(ids.shape[1]) < sizes[rows][:, None]
        states = body(input_ids=torch.from_numpy(ids).to(device), use_cache=False).last_hidden_state.float()
        weight = torch.from_numpy(is_token / sizes[rows][:, None]).float().to(device)
        found[rows] = (states * weight[:, :, None]).sum(dim=1).cpu().numpy()
    return found
