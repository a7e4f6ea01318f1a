"""A class or a number from a document: a linear head on the state of its last token, as transformers has it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed, pack
from raypipe.models.causal import LocalModel
from raypipe.train.data.loader import Document
from raypipe.train.loop.flops import matrix_parameters, step_flops
from raypipe.train.tasks.task import Stateless, Terms


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


class ClassificationHead(Stateless):
    """Cross-entropy over k classes; with one output, squared error of a number."""

    def __init__(self, classifier: Any) -> None:
        self._module = SequenceModel(classifier)
        self.n_outputs = int(classifier.config.num_labels)
        self._config, self._n_matrix_parameters = classifier.config, matrix_parameters(classifier)

    @property
    def module(self) -> nn.Module:
        """The model with its head."""
        return self._module

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

    def loss(self, module: Callable[..., torch.Tensor], tensors: dict[str, Any]) -> Terms:
        """A term for each document."""
        logits, labels = module(tensors["batch"]), tensors["labels"]
        if self.n_outputs == 1:
            losses = F.mse_loss(logits[:, 0], labels, reduction="none")
        else:
            losses = F.cross_entropy(logits, labels.long(), reduction="none")
        return Terms(losses, torch.arange(len(labels), device=labels.device))
