"""Who answers a concept's questions about texts: a language model by likelihoods, or answers given in files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe.corpus.records import read_records
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.score.ask import TextQuestion

if TYPE_CHECKING:
    from raypipe.lm.decoder import Decoder

TEXT, QUESTION = "{text}", "{question}"
YES, NO = "yes", "no"
NOTHING = "N/A"
"""The text that says nothing: how a model answers a question about it is taken off its other answers."""


def key_of(text: str) -> int:
    """By which a text's answers are kept: other rows with this text share them, and a corpus may grow."""
    return int(sha256(text.encode()).hexdigest()[:15], 16)


@dataclass
class AskedModel:
    """Answers of a causal LM: how much likelier it finds yes than no, in nats, less what it says of no text."""

    texts: Mapping[int, str]
    """By their keys."""
    model: str
    prompt: str
    """Holds {text} and {question}; yes or no follows after a blank."""
    max_tokens: int
    dtype: str
    device: str

    @cached_property
    def version(self) -> str:
        """Of the model, the prompt and how they run."""
        model = open_model(self.model)
        said = [model.sha256(), model.tokenizer_sha256(), self.prompt, str(self.max_tokens), self.dtype, NOTHING]
        return sha256("\0".join(said).encode()).hexdigest()

    def too_long(self, questions: Sequence[str]) -> dict[int, int]:
        """Tokens of the texts whose longest question doesn't fit into the window, by their keys.

        Raises
        ------
        ValueError
            If a question leaves no room for a text.
        """
        vocabulary = open_vocabulary(self.model)
        longest = max(questions, key=lambda one: len(vocabulary.backend.encode(one).ids))
        ways = self._asked(longest)
        sizes = {key: max(map(len, ways.ways(vocabulary, text)[0])) for key, text in self.texts.items()}
        if (least := max(map(len, ways.ways(vocabulary, "")[0]))) >= self.max_tokens:
            raise ValueError(
                f"a question must leave room for a text in max_tokens ({self.max_tokens}), got {least} tokens without "
                f"one in {longest[:80]!r}."
            )
        return {key: size for key, size in sizes.items() if size > self.max_tokens}

    def _asked(self, question: str) -> TextQuestion:
        return TextQuestion(self.prompt.replace(QUESTION, question), (YES, NO))

    def __call__(self, question: str, rows: np.ndarray) -> np.ndarray:
        """Nats by which yes is likelier than no, of the texts with these keys: [n]."""
        texts = [NOTHING if key == key_of(NOTHING) else self.texts[key] for key in rows.tolist()]
        return self._likelier(question, texts)

    def _likelier(self, question: str, texts: Sequence[str]) -> np.ndarray:
        from raypipe.evaluate.benchmarks import Item
        from raypipe.evaluate.multiple_choice import answers

        template = self.prompt.replace(QUESTION, question)
        items = [
            Item(f"the question {question[:80]!r}", (template.replace(TEXT, text),) * 2, (f" {YES}", f" {NO}"),
                 (YES, NO), 0, "all")
            for text in texts
        ]  # fmt: skip
        found = answers(
            self._decoder, open_vocabulary(self.model), items, max_tokens=self.max_tokens,
            budget=max(2048, 2 * self.max_tokens),
        )  # fmt: skip
        return np.array([one.log_likelihood[0] - one.log_likelihood[1] for one in found])

    @cached_property
    def _decoder(self) -> "Decoder":
        from raypipe.lm.decoder import Decoder

        weights = open_model(self.model).weights(dtype=self.dtype, device=self.device)
        return Decoder(weights, max_tokens=self.max_tokens)


@dataclass
class GivenAnswers:
    """Answers of files: rows with `id`, `question` and `answer`, a number, higher where it is more so."""

    keys: Mapping[str, int]
    """Of the ids."""
    files: tuple[str, ...]
    _known: dict[tuple[str, int], float] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Read them.

        Raises
        ------
        ValueError
            If a row isn't like that, or an answer is given twice and differs.
        """
        for record in read_records(self.files):
            values: Mapping[str, Any] = record.values
            name, question = values.get("id"), values.get("question")
            answer: Any = values.get("answer")
            where = f"{record.path}, row {record.row}"
            if record.reason is not None or name is None or not isinstance(question, str) or not _is_number(answer):
                raise ValueError(f"{where}: an answer must have `id`, `question` and a finite `answer`, got {values}.")
            key = self.keys.get(str(name))
            if key is None:
                continue  # of a row that isn't asked about
            if self._known.setdefault((question, key), float(answer)) != float(answer):
                raise ValueError(f"{where}: {question!r} has two answers about {name!r}.")

    @cached_property
    def version(self) -> str:
        """Of all answers."""
        return sha256(repr(sorted(self._known.items())).encode()).hexdigest()

    def __call__(self, question: str, rows: np.ndarray) -> np.ndarray:
        """The answers about these keys: [n].

        Raises
        ------
        ValueError
            If one isn't given.
        """
        for key in rows.tolist():
            if (question, key) not in self._known:
                name = next((name for name, of in self.keys.items() if of == key), "?")
                raise ValueError(
                    f"{', '.join(self.files)} must answer {question!r} about every row that it is asked of, "
                    f"there is no answer about {name!r}."
                )
        return np.array([self._known[question, key] for key in rows.tolist()])


def _is_number(answer: Any) -> bool:
    return isinstance(answer, int | float) and bool(np.isfinite(answer))
