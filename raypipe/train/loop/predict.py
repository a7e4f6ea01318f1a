"""Class probabilities of documents from a trained sequence model."""

from collections.abc import Sequence

import numpy as np
import torch

from raypipe.train.data.loader import Document
from raypipe.train.data.packed import pack
from raypipe.train.tasks.classification import SequenceModel


@torch.no_grad()
def class_probabilities(model: SequenceModel, documents: Sequence[Document], *, batch: int) -> np.ndarray:
    """Softmax of the head's logits, `batch` documents at a time in their order: [n, k] float64.

    The model is left in eval mode, on a GPU if there is one.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()
    found = [np.zeros((0, int(model.classifier.config.num_labels)))]
    for start in range(0, len(documents), batch):
        logits = model(pack(documents[start : start + batch], device))
        found.append(logits.double().softmax(dim=1).cpu().numpy())
    return np.concatenate(found)
