"""Next-token prediction with a teacher: its own next tokens, and what another model finds likeliest at each place.

    (1 - w) CE(next token) + w T^2 KL(teacher's k likeliest, at temperature T, made to sum to 1 || student)

Source: G. Hinton, O. Vinyals, J. Dean, Distilling the Knowledge in a Neural Network, 2015, section 2; V. Sanh et al.,
DistilBERT, 2019, section 3 (a student of every other layer of its teacher).
Departures: of the teacher the k likeliest tokens alone; all of the student's are in its softmax, so that what it puts
elsewhere is lost. Held-out rows are measured by cross-entropy alone, beside models without a teacher.
Cost: a forward pass of the teacher, and logits of a pass of both at once.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from raypipe.contracts.rows import Document
from raypipe.contracts.task import Models, Placed, RowLosses
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import Packed
from raypipe.train.loop.flops import matrix_parameters, step_flops
from raypipe.train.tasks.next_token import LanguageModel, NextToken
from raypipe.train.tasks.teaching import Teaching

TEACHER = "teacher"


class Likeliest(nn.Module):
    """A transformers causal LM from packed documents to the logits of its k likeliest next tokens, and these."""

    def __init__(self, causal: Any, k: int) -> None:
        super().__init__()
        self.causal, self.k = causal, k
        use_packed_attention(causal)

    def forward(self, batch: Packed, sources: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[p, k] float32, [p, k] int64."""
        hidden = self.causal.model(**batch.model_inputs()).last_hidden_state[0][sources]
        logits, tokens = self.causal.get_output_embeddings()(hidden).float().topk(self.k, dim=1)
        return logits, tokens


class TaughtModel(LanguageModel):
    """A language model that also says how far it is from its teacher."""

    def forward(self, batch: Packed, sources: torch.Tensor, targets: torch.Tensor, *taught: Any) -> torch.Tensor:
        """Losses [p]; with a teacher's logits [p, k], their tokens [p, k] and T losses and divergences [2, p]."""
        if not taught:
            return super().forward(batch, sources, targets)
        logits, tokens, temperature = taught
        hidden = self.causal.model(**batch.model_inputs()).last_hidden_state[0][sources]
        own = F.linear(hidden, self.head.weight).float()
        losses = F.cross_entropy(own, targets, reduction="none")
        student = (own / temperature).log_softmax(dim=1).gather(1, tokens)
        teacher = (logits / temperature).log_softmax(dim=1)
        return torch.stack([losses, F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)])


class DistilledNextToken(NextToken):
    """Next-token prediction of a student, from text and from a frozen teacher of the same vocabulary."""

    def __init__(self, causal: Any, teacher: Any, teaching: Teaching) -> None:
        """A student and its teacher, two models of one vocabulary.

        Raises
        ------
        ValueError
            If their vocabularies are of two sizes, or smaller than what is asked of the teacher.
        """
        sizes = [int(model.config.vocab_size) for model in (causal, teacher)]
        if sizes[0] != sizes[1] or teaching.distil_top > sizes[1]:
            raise ValueError(
                f"a teacher must have its student's vocabulary, {sizes[0]:,} tokens, and distil_top at most so many, "
                f"got {sizes[1]:,} and {teaching.distil_top}."
            )
        self._module = TaughtModel(causal)
        self._config, self._n_matrix_parameters = causal.config, matrix_parameters(causal)
        self._teaching = teaching
        self._teacher = Likeliest(teacher, teaching.distil_top).requires_grad_(False).eval()
        self._teacher_config, self._n_teacher = teacher.config, matrix_parameters(teacher)

    @property
    def models(self) -> Models:
        """The student is trained, the teacher frozen."""
        return Models(self._module, frozen={TEACHER: self._teacher})

    def flops(self, documents: Sequence[Document]) -> float:
        """Of the student's passes and the teacher's one."""
        return super().flops(documents) + step_flops(self._n_teacher, self._teacher_config, documents) / 3

    def loss(self, models: Placed, tensors: dict[str, Any]) -> RowLosses:
        """A term for each token with a loss."""
        if not self._module.training:
            return super().loss(models, tensors)
        logits, tokens = models.frozen[TEACHER](tensors["batch"], tensors["sources"])
        w, T = self._teaching.distil_weight, self._teaching.distil_temperature
        losses, divergence = models.trained(tensors["batch"], tensors["sources"], tensors["targets"], logits, tokens, T)
        return RowLosses((1 - w) * losses + w * T * T * divergence, tensors["owners"])
