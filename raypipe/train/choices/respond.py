"""What a language model answers: the choice whose label is likeliest, or the first integer that it writes.

Source: Lawma (arXiv 2407.16615), its evaluation of open models.
Cost: one forward pass a prompt, packed; integers one more for each token written.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from raypipe.contracts.rows import Document
from raypipe.lm.packed_model import use_packed_attention
from raypipe.lm.packing import pack
from raypipe.lm.plan import plan_batches
from raypipe.models.tokenizer import Vocabulary
from raypipe.runs.signals import Stopped
from raypipe.train.choices.labels import Labels
from raypipe.train.choices.prompt import MAX_DIGITS
from raypipe.train.choices.question import Question
from raypipe.train.choices.read import integer

INTEGER = re.compile(r"-?\d+")
BUDGET = {"cpu": 2048, "cuda": 32768}
"""Tokens that go through the model together; a longer prompt goes alone."""


@dataclass(frozen=True)
class Responder:
    """A causal LM, of transformers and in eval mode, that answers prompts."""

    causal: Any
    vocabulary: Vocabulary
    labels: Labels
    is_stopping: Callable[[], bool] = lambda: False
    """Asked between batches."""

    def answers(self, questions: Sequence[Question], prompts: Sequence[Document]) -> list[str | None]:
        """The answer to each question, None where an integer was asked for and none was written.

        Raises
        ------
        Stopped
            If it was asked to.
        """
        given: list[str | None] = [None] * len(questions)
        choosing = [at for at, question in enumerate(questions) if question.choices]
        scores = self.label_log_probabilities([prompts[at] for at in choosing])
        for at, of_labels in zip(choosing, scores, strict=True):
            choices = questions[at].choices
            given[at] = choices[int(of_labels[: len(choices)].argmax())]
        counting = [at for at, question in enumerate(questions) if not question.choices]
        for at, text in zip(counting, self.greedy_texts([prompts[at] for at in counting]), strict=True):
            given[at] = first_integer(text)
        return given

    @torch.no_grad()
    def label_log_probabilities(self, prompts: Sequence[Document]) -> np.ndarray:
        """log p(label | prompt), in nats: [n, k] float32."""
        use_packed_attention(self.causal)
        scores = np.empty((len(prompts), len(self.labels.ids)), np.float32)
        lengths = np.array([len(prompt.ids) for prompt in prompts], np.int64)
        device = self.causal.device
        ids = torch.from_numpy(self.labels.ids).to(device)
        for rows in plan_batches(lengths, budget=max(BUDGET[device.type], int(lengths.max(initial=0)))):
            self._heed()
            batch = pack([prompts[row].ids for row in rows], device=device)
            hidden = self.causal.model(**batch.model_inputs()).last_hidden_state[0]
            last = torch.tensor(batch.cuts[1:], device=device) - 1
            logits = self.causal.get_output_embeddings()(hidden[last]).float()
            scores[rows] = torch.log_softmax(logits, dim=1)[:, ids].cpu().numpy()
        return scores

    @torch.no_grad()
    def greedy_texts(self, prompts: Sequence[Document]) -> list[str]:
        """What the model writes after each prompt, the likeliest token each time."""
        from transformers import GenerationConfig

        end = self.vocabulary.end
        greedy = GenerationConfig(do_sample=False, max_new_tokens=MAX_DIGITS, eos_token_id=end, pad_token_id=end)
        self.causal.set_attn_implementation("sdpa")
        texts = []
        for prompt in prompts:
            self._heed()
            ids = torch.from_numpy(prompt.ids.astype(np.int64))[None].to(self.causal.device)
            whole = self.causal.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=greedy)
            texts.append(self.vocabulary.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True))
        return texts

    def _heed(self) -> None:
        if self.is_stopping():
            raise Stopped("stopped in the evaluation; the same command goes on.")


def first_integer(text: str) -> str | None:
    """The first integer in a text, without leading zeros; None if there is none."""
    found = INTEGER.search(text)
    return None if found is None else str(integer(found[0]))
