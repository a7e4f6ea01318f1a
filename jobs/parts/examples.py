"""The examples that finetuning learns: their rows, what of a row is learnt, and what is said of those that are read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from raypipe.contracts.rows import Document
from raypipe.corpus.soft_labels import read_soft_labels
from raypipe.models.tokenizer import open_vocabulary
from raypipe.report.escape import terminal_text
from raypipe.settings.identity import BY_CONTENT
from raypipe.train.choices.prepare import ChoiceSettings, Prepared, prepare
from raypipe.train.choices.read import ChoiceColumns, read_questions
from raypipe.train.data.examples import ExampleColumns, ExampleSets, label_counts, read_examples

from .idle import names_of, refuse_idle
from .pairs import EmbeddingSettings

SHOWN_CLASSES = 20
"""On a terminal."""
HEAD = ("prompt_column", "label_column", "domain_column")
USED = {
    "answers": ("messages_column", "prompt_column", "answer_column", "domain_column"),
    "class": HEAD,
    "number": HEAD,
    "choices": ("answer_column",),
    "embedding": ("domain_column",),
}
"""The columns of examples that are read for what is learnt."""


@dataclass(frozen=True, kw_only=True)
class ExampleSettings:
    """What is learnt, from what."""

    data: tuple[str, ...] = field(metadata=BY_CONTENT)
    """[NAME=]URI of a folder, glob or file of Parquet or JSON (.gz, .zst, .bz2, .xz) of examples. Repeatable."""
    where: str | None = field(default=None, metadata=BY_CONTENT)
    """SQL condition on a row's columns; rows that fail it are left out as "filtered"."""
    learn: Literal["answers", "class", "number", "choices", "embedding"] = "answers"
    """answers: next token, with a loss on answers only; class, number: a head on the state of the last token;
    choices: many classification tasks at once, answered with the letter of a choice, and evaluated;
    embedding: vectors that are near for a query and its positive, of an encoder or a decoder, and evaluated."""
    soft_labels: str | None = field(default=None, metadata=BY_CONTENT)
    """With --learn class: RUN/labels of label_corpus, whose class probabilities of the rows' ids are learnt."""
    length: int = 2048
    """Tokens; longer examples are left out. Of choices the text is cut to fit, of embedding to that and to what the
    model reads."""
    heldout_share: float = 0.05
    """Share of the examples that is measured, not learnt."""
    columns: ExampleColumns = field(default=ExampleColumns(), metadata=BY_CONTENT)
    questions: ChoiceColumns = field(default=ChoiceColumns(), metadata=BY_CONTENT)
    choices: ChoiceSettings = field(default=ChoiceSettings(), metadata=BY_CONTENT)  # themselves too, with that --learn
    embedding: EmbeddingSettings = field(default=EmbeddingSettings(), metadata=BY_CONTENT)  # likewise

    def check(self) -> None:
        """Refuse settings that do nothing for what is learnt, or are out of range.

        Raises
        ------
        ValueError
            With their names.
        """
        used = (*USED[self.learn], *(["id_column"] if self.soft_labels else []))
        idle = [name for name in names_of(ExampleColumns) if name not in used]
        if self.learn != "class":
            refuse_idle(self, ["soft_labels"], because=f"with --learn {self.learn}")
        refuse_idle(self.columns, idle, because=f"with --learn {self.learn}")
        if self.learn != "choices":
            for part in (self.questions, self.choices):
                refuse_idle(part, because=f"with --learn {self.learn}")
        if self.learn != "embedding":
            refuse_idle(self.embedding, because=f"with --learn {self.learn}")
        else:
            self.embedding.check()
        if not 0 <= self.heldout_share < 1:
            raise ValueError(f"heldout_share must be in [0, 1), got {self.heldout_share}.")

    def load(self, *, model: str) -> ExampleSets:
        """The examples of the files, as this model's tokenizer reads them."""
        assert self.learn != "choices"
        assert self.learn != "embedding"
        return read_examples(
            self.data,
            self.columns,
            open_vocabulary(model),
            learn=self.learn,
            length=self.length,
            heldout_share=self.heldout_share,
            where=self.where,
            soft=read_soft_labels(self.soft_labels) if self.soft_labels else None,
        )

    def load_choices(self, *, model: str, seed: int) -> Prepared:
        """The questions of the files, split and written out."""
        answer_column = self.columns.answer_column
        return prepare(
            read_questions(self.data, self.questions, answer_column=answer_column, where=self.where),
            open_vocabulary(model),
            self.choices,
            length=self.length,
            validation_share=self.heldout_share,
            seed=seed,
        )


def as_examples(choices: Prepared) -> ExampleSets:
    """What is trained on and validated with; the test isn't among them."""
    return ExampleSets(choices.train, choices.validation, choices.left_out, [], [], [])


def digest_of(documents: Sequence[Document]) -> str:
    """SHA-256 of all that training sees of examples."""
    digest = sha256()
    for document in documents:
        marked = b"" if document.has_loss is None else document.has_loss.tobytes()
        digest.update(document.ids.tobytes() + marked + f"{document.label} {document.domain}".encode())
        if document.soft_label is not None:
            digest.update(document.soft_label.tobytes())
    return digest.hexdigest()


def lines_of(examples: ExampleSets) -> list[str]:
    """For a terminal: what was left out, and which class has which number and how many examples."""
    lines = [terminal_text(line, max_chars=400) for line in examples.left_out.lines()]
    if not examples.labels:
        return lines
    counts = label_counts(examples.train + examples.heldout, len(examples.labels))
    shown = [
        f"{at} = {terminal_text(name, max_chars=40)} ({n:,})"
        for at, (name, n) in enumerate(zip(examples.labels[:SHOWN_CLASSES], counts, strict=False))
    ]
    more = len(examples.labels) - SHOWN_CLASSES
    return [*lines, f"classes: {', '.join(shown)}" + (f" and {more:,} more, in the card" if more > 0 else "")]
