"""Programming tasks from files of rows: what a model is asked to write, and the tests that it must pass.

Two forms, told by their keys: `text` with `test_list` (MBPP: J. Austin et al., arXiv 2108.07732), asked in a docstring
with the first test; `prompt` with `test` and `entry_point` (HumanEval: M. Chen et al., arXiv 2107.03374), to be gone
on with.
"""

import re
from dataclasses import dataclass

from raypipe.corpus.records import Record
from raypipe.evaluate.open_questions import cut_at
from raypipe.evaluate.questions import read_questions

STOPS = ("\nclass ", "\nassert ", '\n"""', "\nprint(", "\nif __name__", "\n```", "\n#")
_FENCED = re.compile(r"```(?:python|py)?\n(.*?)(?:\n```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class CodeTask:
    """One task."""

    name: str
    prompt: str
    before: str
    """What stands before a completion in the program."""
    tests: str
    group: str = "all"

    def program(self, written: str) -> str:
        """What a model wrote, as a program with its tests: a fenced block if it has one, else up to where it strays."""
        block = _FENCED.search(written)
        body = block[1] if block else cut_at(written, STOPS)
        is_whole = block is not None and "def " in body  # written anew, not gone on with
        return "\n".join([*([] if is_whole else [self.before + body]), *([body] if is_whole else []), self.tests, ""])


def read_code_tasks(uri: str, *, limit: int | None = None) -> list[CodeTask]:
    """The tasks of a benchmark's files, in their order, the first `limit` of them.

    Raises
    ------
    ValueError
        If a row is no task; with its file, its row and why.
    """
    return read_questions(uri, _task_of, limit=limit, what="task")


def _task_of(record: Record) -> CodeTask | str:
    values = record.values
    name = str(values.get("task_id") or values.get("id") or f"{record.path}:{record.row}")
    prompt, test, entry = values.get("prompt"), values.get("test"), values.get("entry_point")
    if isinstance(prompt, str) and isinstance(test, str) and isinstance(entry, str):
        return CodeTask(name, prompt, prompt, f"{test}\ncheck({entry})")
    text, tests = values.get("text"), values.get("test_list")
    if not isinstance(text, str):
        return "no text with test_list, and no prompt with test and entry_point"
    if not isinstance(tests, list | tuple) or not tests or not all(isinstance(one, str) for one in tests):
        return "test_list isn't a list of tests"
    setup = values.get("test_setup_code")
    before = f"{setup}\n" if isinstance(setup, str) and setup else ""
    return CodeTask(name, f'"""\n{text.strip()}\n{tests[0]}\n"""\n', before, "\n".join(tests))
