"""Outputs of a trained sequence model for documents: logits, class probabilities, numbers."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import softmax

from raypipe.contracts.rows import Document
from raypipe.lm.packing import pack
from raypipe.train.loop.finite import NotFinite, named
from raypipe.train.tasks.classification import SequenceModel


def class_probabilities(model: SequenceModel, documents: Sequence[Document], *, batch: int) -> np.ndarray:
    """Softmax of the head's logits, [n, k] float64; the rest is as with `head_outputs`."""
    return np.asarray(softmax(head_outputs(model, documents, batch=batch), axis=1))


@torch.no_grad()
def head_outputs(model: SequenceModel, documents: Sequence[Document], *, batch: int) -> np.ndarray:
    """The head's outputs, `batch` documents at a time in their order: [n, k] float64.

    The model is left in eval mode, on a GPU if there is one.

    Raises
    ------
    NotFinite
        With the documents that an output isn't finite of.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()
    found = [np.zeros((0, int(model.classifier.config.num_labels)))]
    for start in range(0, len(documents), batch):
        packed = pack([document.ids for document in documents[start : start + batch]], device=device)
        found.append(model(packed).double().cpu().numpy())
    outputs = np.concatenate(found)
    broken = [documents[int(at)] for at in np.flatnonzero(~np.isfinite(outputs).all(axis=1))]
    if broken:
        raise NotFinite(f"the model's answers aren't finite to: {named((one.path, one.row) for one in broken)}.")
    return outputs
