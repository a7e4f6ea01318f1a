"""The model that is evaluated, in the two forms in which questions need it: likelihoods without logits, and writing."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from raypipe.lm.decoder import Decoder
from raypipe.lm.sampling import Sampler
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import Vocabulary, open_vocabulary
from raypipe.runs.signals import Stopped

from ..answering import start_device
from .settings import Evaluated

BUDGET = {"cpu": 512, "cuda": 32768}
"""Tokens that go through the model together; on CPUs few, whose states stay in the caches."""


class EvaluatedModel:
    """Opens what is asked for, when it is; one form at a time is in memory."""

    def __init__(self, settings: Evaluated, stopping: threading.Event) -> None:
        self.settings, self.stopping = settings, stopping
        self._decoder: Decoder | None = None
        self._sampler: Sampler | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """Its tokenizer."""
        return open_vocabulary(self.settings.model)

    @property
    def decoder(self) -> Decoder:
        """For likelihoods, packed."""
        if self._decoder is None:
            self._sampler = None
            self._decoder = Decoder(self._weights(), max_tokens=self.settings.max_tokens)
        return self._decoder

    @property
    def budget(self) -> int:
        """Tokens that go through the model together."""
        return int(self.settings.token_budget or BUDGET[self.decoder.device.type])

    def sizes(self) -> dict[str, Any]:
        """What likelihoods of questions and documents are bound by."""
        return {"max_tokens": self.settings.max_tokens, "budget": self.budget, "heed": self.heed}

    def write(self, prompts: Sequence[str], seeds: Sequence[int], *, temperature: float) -> list[str]:
        """What the model writes after each prompt, its blanks before the first word kept."""
        if self._sampler is None:
            self._decoder = None
            self._sampler = Sampler(self._weights(), self.vocabulary, self.settings.new_tokens, keeps_blanks=True)
        sampler = self._sampler
        sampler.temperature = temperature
        found, order = [""] * len(prompts), np.argsort([len(prompt) for prompt in prompts], kind="stable")
        for start in range(0, len(order), self.settings.batch):
            self.heed()
            rows = order[start : start + self.settings.batch]
            for row, text in zip(rows, sampler([prompts[r] for r in rows], [seeds[r] for r in rows]), strict=True):
                found[row] = text
        return found

    def check_fits(self, prompts: Sequence[str]) -> None:
        """Refuse prompts that leave no room for what is to be written.

        Raises
        ------
        ValueError
            With the longest.
        """
        encoded = self.vocabulary.backend.encode_batch_fast(list(prompts), add_special_tokens=True)
        longest = max((len(one.ids) for one in encoded), default=0)
        room = int(open_model(self.settings.model).config().max_position_embeddings)
        if longest + self.settings.new_tokens > room:
            raise ValueError(
                f"a prompt and what is written after it must fit into the model's {room} positions, got {longest} + "
                f"{self.settings.new_tokens} tokens; lower --new-tokens or --shown."
            )

    def heed(self) -> None:
        """Stop where that was asked for.

        Raises
        ------
        Stopped
            Then.
        """
        if self.stopping.is_set():
            raise Stopped("stopped in the evaluation; benchmarks that are done stay: go on with the same command.")

    def _weights(self) -> Any:
        device = start_device(self.settings.n_threads)
        return open_model(self.settings.model).weights(dtype=self.settings.dtype, device=device)
