"""Soft labels from a document: the classification head under a loss that knows how far training has come."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Placed, RowLosses, Tensors
from raypipe.lm.packing import pack
from raypipe.losses.soft_labels import CrossEntropy, SoftLoss
from raypipe.train.tasks.classification import ACCURACY, ClassificationHead


class SoftLabelHead(ClassificationHead):
    """A loss against the soft label [k] of each document; held-out documents are measured by cross-entropy.

    A loss that looks at several documents (the confidence loss) sees those that go through the model together on one
    worker: `micro_batch` of them, not the step's. The number of steps done is the task's state, so resuming is exact.
    """

    def __init__(self, classifier: Any, loss: SoftLoss, *, n_steps: int) -> None:
        super().__init__(classifier)
        self.figures = (ACCURACY,)
        self._loss, self._n_steps, self._step = loss, n_steps, 0

    def collate(self, documents: Sequence[Document], device: torch.device) -> dict[str, Any]:
        """The documents packed, and their soft labels [n, k].

        Raises
        ------
        ValueError
            If a document has none, or one of another number of classes than the head.
        """
        labels = torch.tensor([_soft_label(document, self.n_outputs) for document in documents], dtype=torch.float32)
        return {"batch": pack([one.ids for one in documents], device=device), "labels": labels.to(device)}

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each document."""
        logits, labels = models.trained(tensors["batch"]), tensors["labels"]
        loss = self._loss if self.module.training else CrossEntropy()
        losses = loss(logits, labels, self._step / self._n_steps)
        metrics = {"logits": logits.detach(), "labels": labels}
        return RowLosses(losses, torch.arange(len(labels), device=labels.device), metrics)

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Accuracy against the likelier class of each soft label."""
        return {ACCURACY.name: float((metrics["logits"].argmax(axis=1) == metrics["labels"].argmax(axis=1)).mean())}

    def after_step(self, weights: Tensors, step: int) -> None:
        """Remember how far training is."""
        self._step = step

    def state(self) -> dict[str, torch.Tensor]:
        """The steps done."""
        return {"step": torch.tensor(self._step)}

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take up the count."""
        self._step = int(state["step"])


def _soft_label(document: Document, n_classes: int) -> list[float]:
    found = document.soft_label
    if found is None or len(found) != n_classes:
        has = "none" if found is None else f"{len(found)} numbers"
        raise ValueError(
            f"soft_label must have the {n_classes} classes of the head, got {has} ({document.path}:{document.row})."
        )
    return [float(share) for share in found]
