"""Questions as prompts, cut to a length, and as examples whose answer alone is learnt.

Source: Lawma (arXiv 2407.16615), its prompts: instruction, text, question, lettered choices and a
cue, a blank line between the first three; a long text loses its end.
Departures: the text can lose its middle instead (`cut`), for documents that end with what matters. The tokens are those
of the whole prompt, so that whoever tokenises the text of a prompt gets what was trained on.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raypipe.contracts.rows import Document
from raypipe.models.boundary import opened
from raypipe.models.tokenizer import Vocabulary
from raypipe.train.choices.labels import CUE, Labels, continuation
from raypipe.train.choices.question import Question

Cut = Literal["end", "middle"]
GAP = "\n...\n"
"""In the place of a text's middle."""
MAX_DIGITS = 20
"""Tokens at most of an integer answer."""


@dataclass(frozen=True)
class Prompter:
    """Writes prompts of at most `length` tokens, answer and end of text included."""

    vocabulary: Vocabulary
    labels: Labels
    length: int
    cut: Cut = "end"

    def text_of(self, question: Question, text: str) -> str:
        """The prompt of a question with this much of its text."""
        lines = [f"{name}. {choice}" for name, choice in zip(self.labels.names, question.choices, strict=False)]
        head = f"{question.instruction}\n\n" if question.instruction else ""
        return "\n".join([f"{head}{text}\n\nQuestion: {question.question}", *lines, CUE])

    def fits(self, question: Question) -> bool:
        """Whether all but the text fits, with any of the answers."""
        longest = max(len(self.answer_ids(question, answer)) for answer in question.answers)
        return len(self._ids(self.text_of(question, ""))) + max(self.answer_room(question), longest) <= self.length

    def prompt(self, question: Question, *, room: int) -> list[int] | None:
        """Ids of the longest prompt that leaves `room` tokens; None if there is no room without a text either."""
        limit, ids = self.length - room, self._ids(self.text_of(question, question.text))
        if len(ids) <= limit:
            return ids
        offsets = self.vocabulary.backend.encode(question.text, add_special_tokens=False).offsets
        kept = len(offsets)
        while len(ids) > limit:
            if kept == 0:
                return None
            kept = max(0, kept - (len(ids) - limit))
            ids = self._ids(self.text_of(question, shortened(question.text, offsets, kept, cut=self.cut)))
        return ids

    def example(self, question: Question, answer: str) -> Document | None:
        """A prompt with its answer, of which the answer and the end of text are learnt; None if it doesn't fit."""
        target = self.answer_ids(question, answer)
        prompt = self.prompt(question, room=max(self.answer_room(question), len(target)))
        if prompt is None:
            return None
        ids = np.array(prompt + target, np.int32)
        return Document(ids, question.task, question.path, question.row, np.arange(len(ids)) >= len(prompt))

    def asked(self, question: Question) -> Document | None:
        """A prompt without its answer, the same as in an example: with room for the answer."""
        prompt = self.prompt(question, room=self.answer_room(question))
        if prompt is None:
            return None
        return Document(np.array(prompt, np.int32), question.task, question.path, question.row)

    def answer_room(self, question: Question) -> int:
        """Tokens that are kept free for the answer and the end of text."""
        return (1 if question.choices else MAX_DIGITS) + len(self._end)

    def answer_ids(self, question: Question, answer: str) -> list[int]:
        """Tokens of an answer: of its label or its digits, and the end of text."""
        if question.choices:
            return [int(self.labels.ids[question.choices.index(answer)]), *self._end]
        ids = continuation(self.vocabulary, f" {answer}")
        if ids is None:
            raise ValueError(f"the tokenizer must keep {CUE!r} and {answer!r} apart; it makes one token of both.")
        return ids + self._end

    @property
    def _end(self) -> list[int]:
        return [] if self.vocabulary.end is None else [self.vocabulary.end]

    def _ids(self, text: str) -> list[int]:
        return opened(self.vocabulary, text)


def shortened(text: str, offsets: list[tuple[int, int]], kept: int, *, cut: Cut) -> str:
    """The text with about `kept` of its tokens: the first ones, or as many from its beginning as from its end."""
    if kept == 0:
        return ""
    if cut == "end":
        return text[: offsets[kept - 1][1]].rstrip()
    first, last = -(-kept // 2), kept // 2
    tail = text[offsets[len(offsets) - last][0] :] if last else ""
    return f"{text[: offsets[first - 1][1]].rstrip()}{GAP}{tail.lstrip()}"
