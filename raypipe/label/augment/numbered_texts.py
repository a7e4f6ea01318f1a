"""Texts that a language model adapted to one class writes: a numbered prompt each, a seed each, temperatures by turns.

Source: M. Bayer et al., Data Augmentation in Natural Language Processing: A Novel Text Generation Approach for Long and
Short Text Classifiers, IJMLC 2022 (arXiv 2103.14453). Its text was not at hand beyond the abstract; that prompts are
running numbers, and for long texts their beginnings too, is from general knowledge of it, and so the number of words,
the temperatures and how many texts are made of one are settings.
Departures: a number and a colon stand where the paper has special tokens, which few vocabularies have to spare.
Cost: that of the model that goes on from the prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raypipe.arrays.hashing import bits_of
from raypipe.label.augment.generators import Draft

Continue = Callable[[Sequence[str], Sequence[int], float], list[str]]
"""What follows each prompt, by its own seed, at a temperature."""


@dataclass(frozen=True, kw_only=True)
class Prompting:
    """What a model adapted to a class is asked for."""

    prompt_words: int = 0
    """Words of the original that a prompt has behind its number, which keep a long text to its topic."""
    temperatures: tuple[float, ...] = (0.7, 0.8, 0.9, 1.0)
    """Of sampling, one after the other for the texts made of the same original."""

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises
        ------
        ValueError
            With both.
        """
        if self.prompt_words < 0 or not self.temperatures or min(self.temperatures) <= 0:
            raise ValueError(
                f"prompt_words must be at least 0 and temperatures above 0, one at least, got {self.prompt_words} and "
                f"{list(self.temperatures)}."
            )


def numbered(number: int, text: str, prompting: Prompting) -> tuple[str, str]:
    """What is asked and what is to follow, as the model learns it of the class's text of this number."""
    words = text.split(" ")
    head, rest = words[: prompting.prompt_words], words[prompting.prompt_words :]
    return " ".join([f"{number}:", *head]), " " + " ".join(rest)


def numbered_texts(
    texts: Sequence[str], n: int, seed: int, *, go_on: Continue, prompting: Prompting = Prompting()
) -> list[Draft]:
    """n texts, one from each original's prompt by turns; each depends on the original, its turn and the seed alone."""
    drafts: dict[int, Draft] = {}
    for at, temperature in enumerate(prompting.temperatures):
        mine = [row for row in range(n) if row // len(texts) % len(prompting.temperatures) == at]
        prompts = [numbered(row % len(texts), texts[row % len(texts)], prompting)[0] for row in mine]
        seeds = [_seed(seed, texts[row % len(texts)], row // len(texts)) for row in mine]
        for row, prompt, rest in zip(mine, prompts, go_on(prompts, seeds, temperature) if mine else [], strict=True):
            head = prompt.partition(":")[2].strip()
            drafts[row] = Draft(f"{head} {rest.strip()}".strip(), row % len(texts), prompt, temperature)
    return [drafts[row] for row in range(n)]


def _seed(seed: int, text: str, turn: int) -> int:
    """63 bits."""
    return bits_of(f"augment:{seed}:{turn}:{text}") >> 1
