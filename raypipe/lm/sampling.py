"""Text sampled from a causal language model, each prompt with a seed of its own.

Adding Gumbel noise to logits / temperature and taking the largest is drawing from their softmax (E. J. Gumbel,
Statistical Theory of Extreme Values, 1954; C. J. Maddison et al., A* Sampling, NIPS 2014, section 2). The noise of a
prompt is a function of its seed, so its text doesn't depend on its neighbours in the batch, but for rounding.
Cost: a forward pass a token, with transformers' cache; noise is drawn on the CPU, vocabulary numbers a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from raypipe.models.boundary import opened
from raypipe.models.tokenizer import Vocabulary

_PLACE = "PLACE-OF-THE-PROMPT"


class GumbelNoise(LogitsProcessor):
    """Makes greedy decoding sample at a temperature, row by row from generators of their own."""

    def __init__(self, seeds: Sequence[int], *, temperature: float) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._temperature = temperature

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores [n, v] -> [n, v] float32."""
        rows = [torch.empty(scores.shape[1]).exponential_(generator=generator) for generator in self._generators]
        noise = -torch.stack(rows).clamp_min(torch.finfo(torch.float32).tiny).log()
        return scores.float() / self._temperature + noise.to(scores.device)


@dataclass
class Sampler:
    """A model and its tokenizer, and how to sample from them."""

    causal: Any
    """A transformers causal LM, in eval mode."""
    vocabulary: Vocabulary
    """Its tokenizer; where it has a chat template, prompts are a user's turn."""
    max_new_tokens: int = 96
    """Tokens of an answer at most."""
    temperature: float = 0.7
    """Of the softmax; 0: the likeliest token always."""
    keeps_blanks: bool = False
    """Give answers with the blanks around them, which in programs mean something."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises
        ------
        ValueError
            If they are out of range.
        """
        if self.max_new_tokens < 1 or self.temperature < 0:
            raise ValueError(
                f"max_new_tokens must be at least 1 and temperature at least 0, got {self.max_new_tokens} and "
                f"{self.temperature}."
            )

    @torch.no_grad()
    def __call__(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """What follows each prompt, without special tokens; prompts go through the model together, padded on the left.

        Raises
        ------
        ValueError
            If a prompt and its answer don't fit into the model's positions.
        """
        ids = [self._ids(prompt) for prompt in prompts]
        longest = max(map(len, ids))
        self._check(longest)
        tokenizer = self.vocabulary.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        padded = torch.tensor([[pad or 0] * (longest - len(one)) + one for one in ids], device=self.causal.device)
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in ids], device=self.causal.device)
        out = self.causal.generate(
            input_ids=padded,
            attention_mask=mask,
            generation_config=self._greedy(pad),
            logits_processor=self._noise(seeds),
        )
        answers: list[str] = tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
        return answers if self.keeps_blanks else [answer.strip() for answer in answers]

    def _greedy(self, pad: int | None) -> GenerationConfig:
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens, do_sample=False, pad_token_id=pad,
            eos_token_id=self.vocabulary.end,
        )  # fmt: skip

    def _noise(self, seeds: Sequence[int]) -> LogitsProcessorList:
        if self.temperature == 0:
            return LogitsProcessorList([])
        return LogitsProcessorList([GumbelNoise(seeds, temperature=self.temperature)])

    def _ids(self, prompt: str) -> list[int]:
        """A prompt goes on: nothing ends it. Control strings in it are text, those of the chat template are tokens."""
        tokenizer, backend, rendered = self.vocabulary.tokenizer, self.vocabulary.backend, self.vocabulary.rendered
        if not tokenizer.chat_template:
            return opened(self.vocabulary, prompt)
        own = backend.encode(prompt, add_special_tokens=False).ids
        if own == rendered.encode(prompt, add_special_tokens=False).ids:
            return list(rendered.encode(self._turn(prompt), add_special_tokens=False).ids)
        ends = self._turn(_PLACE).split(_PLACE)
        before, after = (rendered.encode(end, add_special_tokens=False).ids for end in (ends[0], ends[-1]))
        return [*before, *own, *after]

    def _turn(self, prompt: str) -> str:
        turn = [{"role": "user", "content": prompt}]
        text: str = self.vocabulary.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        return text

    def _check(self, longest: int) -> None:
        positions = self.causal.config.max_position_embeddings
        if longest + self.max_new_tokens > positions:
            raise ValueError(
                f"a prompt and its answer must fit into the model's {positions} positions, got {longest} + "
                f"{self.max_new_tokens} tokens; lower max_new_tokens, or leave long rows out."
            )
