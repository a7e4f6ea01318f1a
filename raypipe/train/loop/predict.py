"""Class probabilities of documents from a trained sequence model."""

from collections.abc import Sequence

import numpy as np
import torch

from raypipe.contracts.rows import Document
from raypipe.train.data.packed import pack
from raypipe.train.loop.finite import NotFinite, named
from raypipe.train.tasks.classification import SequenceModel


@torch.no_grad()
def class_probabilities(model: SequenceModel, documents: Sequence[Document], *, batch: int) -> np.ndarray:
    """Softmax of the head's logits, `batch` documents at a time in their order: [n, k] float64.

    The model is left in eval mode, on a GPU if there is one.

    Raises
    ------
    NotFinite
        With the documents that a probability isn't finite of.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()
    found = [np.zeros((0, int(model.classifier.config.num_labels)))]
    for start in range(0, len(documents), batch):
        logits = model(pack(documents[start : start + batch], device))
        found.append(logits.double().softmax(dim=1).cpu().numpy())
    probability = np.concatenate(found)
    broken = [documents[int(at)] for at in np.flatnonzero(~np.isfinite(probability).all(axis=1))]
    if broken:
        raise NotFinite(f"the model's answers aren't finite to: {named((one.path, one.row) for one in broken)}.")
    return probability
