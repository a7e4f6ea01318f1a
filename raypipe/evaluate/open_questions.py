"""Questions that are answered in writing, from files of rows: what is asked, and which answers are right.

A row has a question (`question`, `query` or `input`) and its answer: `final_answer`, else `answer` or `target`, of
which what follows `####` counts where there is one (GSM8K). Examples shown before a question give the whole `answer`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.corpus.records import Record
from raypipe.evaluate.final_answer import as_number, flexible_answer, is_accepted, strict_answer
from raypipe.evaluate.questions import read_questions

STOPS = ("\nQuestion:", "\n\nQ:")
_ASKED, _ANSWERED = ("question", "query", "input"), ("final_answer", "answer", "target")


@dataclass(frozen=True)
class OpenQuestion:
    """One question."""

    name: str
    """Its id, or where it stands."""
    question: str
    solution: str
    """What an example shows after "Answer:"."""
    accepted: tuple[str, ...]
    group: str = "all"

    @property
    def is_number(self) -> bool:
        """Whether a number is asked for."""
        return all(as_number(one) is not None for one in self.accepted)

    def right(self, written: str) -> dict[str, bool]:
        """Whether what a model wrote is right, read strictly and flexibly; what follows another question is cut."""
        text = cut_at(written, STOPS)
        return {
            "strict": is_accepted(strict_answer(text), self.accepted),
            "flexible": is_accepted(flexible_answer(text, is_number=self.is_number), self.accepted),
        }


def read_open_questions(uri: str, *, group_column: str | None = None, limit: int | None = None) -> list[OpenQuestion]:
    """The questions of a benchmark's files, in their order, the first `limit` of them.

    Raises
    ------
    ValueError
        If a row can't be asked; with its file, its row and why.
    """
    return read_questions(uri, lambda record: _question_of(record, group_column), limit=limit)


def _question_of(record: Record, group_column: str | None) -> OpenQuestion | str:
    values = record.values
    asked = next((values[name] for name in _ASKED if isinstance(values.get(name), str)), None)
    answer = next((values[name] for name in _ANSWERED if values.get(name) is not None), None)
    if not isinstance(asked, str) or not asked.strip():
        return f"no {', '.join(_ASKED[:-1])} or {_ASKED[-1]}"
    if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
        return f"no {', '.join(_ANSWERED[:-1])} or {_ANSWERED[-1]} that is a text or a number"
    if group_column is not None and group_column not in values:
        return f"no {group_column}"
    final, shown = strict_answer(str(answer)) or str(answer), values.get("answer")
    return OpenQuestion(
        name=str(values.get("id") or f"{record.path}:{record.row}"),
        question=asked.strip(),
        solution=shown.strip() if isinstance(shown, str) else f"#### {final}",
        accepted=(final,),
        group="all" if group_column is None else str(values[group_column]),
    )


def prompt_of(question: OpenQuestion, examples: Sequence[OpenQuestion] = ()) -> str:
    """The examples with their solutions, then the question."""
    shown = [f"Question: {one.question}\nAnswer: {one.solution}\n\n" for one in examples]
    return "".join([*shown, f"Question: {question.question}\nAnswer:"])


def cut_at(text: str, stops: Sequence[str]) -> str:
    """A text up to the first of some marks."""
    found = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    return text[: min(found)] if found else text
