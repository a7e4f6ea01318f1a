"""A question to a language model: a vote for the class of the answer that it finds likeliest, where it is sure enough.

Source: R. Smith et al., Language Models in the Loop, arXiv 2205.02318: prompts as labelling functions.
Departures: the answer is read from the likelihoods of the given answers, their sum over tokens, shared out among them;
nothing is written and parsed. The model has run before, as the stage that `placed` names.
Cost: O(n k).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from raypipe.label.functions.function import check_words, column

PLACE = "{text}"


@dataclass(frozen=True)
class Prompt:
    """Votes for the class of the likeliest answer."""

    name: str
    question: str
    """{text} is the text's place; an answer follows after a blank."""
    answers: Mapping[str, str | None]
    """Answer: class; null: abstains there."""
    at_least: float = 0.0
    """It abstains where the likeliest answer has a lower share of the answers' probability."""

    stage: str | None = field(default=None, init=False, repr=False)
    """Of the likelihoods: see `placed`."""
    number: int = field(default=0, init=False, repr=False)
    """Of its question there."""

    @property
    def vote(self) -> str | None:
        """The class, where there is one alone."""
        found = {one for one in self.answers.values() if one is not None}
        return found.pop() if len(found) == 1 else None

    @property
    def reads(self) -> tuple[str, ...]:
        """Likelihoods, and why there are none."""
        return (f"{self.stage}.log_likelihoods", f"{self.stage}.unanswered")

    def check(self) -> None:
        """Refuse a question without the text, fewer than two answers, none that votes, and an impossible share.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        called = f"labelling function {self.name!r}"
        if self.question.count(PLACE) != 1:
            raise ValueError(f"{called}: question must hold {PLACE} once, got {self.question!r}.")
        check_words(self.name, "answers", tuple(self.answers))
        if len(self.answers) < 2 or all(one is None for one in self.answers.values()):
            raise ValueError(f"{called}: answers must be two at least, one with a class, got {dict(self.answers)}.")
        if not 0 <= self.at_least < 1:
            raise ValueError(f"{called}: at_least must be a share from 0 to below 1, got {self.at_least}.")

    def placed(self, stage: str, number: int) -> Self:
        """Itself, reading this stage, in which its question has this number."""
        made = type(self)(self.name, self.question, self.answers, self.at_least)
        object.__setattr__(made, "stage", stage)
        object.__setattr__(made, "number", number)
        return made

    def says(self, table: pa.Table) -> pa.Array:
        """The class of each row's likeliest answer.

        Raises
        ------
        ValueError
            If a row's question has no answer, with the reason.
        """
        likelihoods, why = (column(table, name).to_pylist() for name in self.reads)
        votes = list(self.answers.values())
        return pa.array([self._vote(*one, votes) for one in zip(likelihoods, why, strict=True)], pa.string())

    def _vote(self, likelihoods: list | None, why: list | None, votes: list[str | None]) -> str | None:
        if likelihoods is None or why is None:
            return None
        if (reason := why[self.number]) is not None:
            raise ValueError(reason)
        logits = np.array(likelihoods[self.number])
        best = int(logits.argmax())
        share = 1 / np.exp(logits - logits[best]).sum()
        return votes[best] if share >= self.at_least else None
