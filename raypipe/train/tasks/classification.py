"""A class or a number from a document: a linear head on the state of its last token, as transformers has it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from raypipe.arrays.ranks import share_below
from raypipe.contracts.rows import Document
from raypipe.contracts.task import Figure, Models, Placed, RowLosses
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed, pack
from raypipe.losses.z_loss import ZLoss, z_loss
from raypipe.models.causal import LocalModel
from raypipe.train.loop.flops import matrix_parameters, step_flops
from raypipe.train.tasks.task import SimpleTask

ACCURACY, AUROC = Figure("accuracy"), Figure("auroc")
ERROR = Figure("mean_absolute_error", higher_is_better=False)


def names_of(labels: Sequence[Any]) -> dict[str, Any]:
    """The settings of a transformers configuration for an output a label."""
    return {"num_labels": len(labels), "id2label": dict(enumerate(labels)),
            "label2id": {label: at for at, label in enumerate(labels)}}  # fmt: skip


def new_classifier(model: LocalModel, labels: Sequence[Any], **changes: Any) -> Any:
    """A model's weights under a new linear head, drawn from torch's generator; `changes` are its configuration's."""
    return model.classifier(**names_of(labels), **changes)


class SequenceModel(nn.Module):
    """A transformers model for sequence classification, on packed documents."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        use_packed_attention(classifier)

    def forward(self, batch: Packed) -> torch.Tensor:
        """Logits [n, k], float32."""
        plain = self.classifier.get_base_model() if hasattr(self.classifier, "get_base_model") else self.classifier
        hidden = plain.model(**batch.model_inputs()).last_hidden_state[0]
        last = torch.tensor(batch.cuts[1:], device=hidden.device) - 1
        logits: torch.Tensor = plain.score(hidden[last])
        return logits.float()


class ClassificationHead(SimpleTask):
    """Cross-entropy over k classes, or the Z-loss given; with one output, squared error of a number."""

    def __init__(self, classifier: Any, loss: ZLoss | None = None) -> None:
        if loss is not None:
            loss.check(int(classifier.config.num_labels))
        self._module, self._z_loss = SequenceModel(classifier), loss
        self.n_outputs = int(classifier.config.num_labels)
        self.figures = {1: (ERROR,), 2: (ACCURACY, AUROC)}.get(self.n_outputs, (ACCURACY,))
        self._config, self._n_matrix_parameters = classifier.config, matrix_parameters(classifier)

    @property
    def module(self) -> nn.Module:
        """The model with its head."""
        return self._module

    @property
    def models(self) -> Models:
        """The model with its head is trained."""
        return Models(self._module)

    def count(self, document: Document) -> int:
        """One term a document."""
        return 1

    def flops(self, documents: Sequence[Document]) -> float:
        """Of forward and backward."""
        return step_flops(self._n_matrix_parameters, self._config, documents)

    def collate(self, documents: Sequence[Document], device: torch.device) -> dict[str, Any]:
        """The documents packed, and their labels."""
        labels = torch.tensor([document.label for document in documents], dtype=torch.float32, device=device)
        return {"batch": pack([document.ids for document in documents], device=device), "labels": labels}

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each document; metrics: logits [n, k] and labels [n]."""
        logits, labels = models.trained(tensors["batch"]), tensors["labels"]
        if self.n_outputs == 1:
            losses = F.mse_loss(logits[:, 0], labels, reduction="none")
        elif self._z_loss is not None:
            losses = z_loss(logits, labels.long(), self._z_loss)
        else:
            losses = F.cross_entropy(logits, labels.long(), reduction="none")
        metrics = {"logits": logits.detach(), "labels": labels}
        return RowLosses(losses, torch.arange(len(labels), device=labels.device), metrics)

    def summary(self, metrics: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Accuracy, and of two classes the area under the ROC curve where both are there; the mean error of numbers."""
        if self.n_outputs == 1:
            return {ERROR.name: float(np.abs(metrics["logits"][:, 0] - metrics["labels"]).mean())}
        labels = metrics["labels"].astype(np.int64)
        figures = {ACCURACY.name: float((metrics["logits"].argmax(axis=1) == labels).mean())}
        if self.n_outputs == 2 and 0 < labels.sum() < len(labels):
            score = metrics["logits"][:, 1] - metrics["logits"][:, 0]
            figures[AUROC.name] = float(share_below(score[labels == 1], score[labels == 0]).mean())
        return figures
