"""Questions and tokenizers for the tests of choices."""

from raypipe.train.choices.question import Question

WORDS = "an instruction about text words Question: which is it? A. red B. blue Answer: A B C\n\n1 2 3 4 5 6 7 8 9 0"


def question(**changes) -> Question:
    values = {"task": "colour", "instruction": "an instruction", "text": "words", "question": "which is it?",
              "choices": ("red", "blue"), "answers": ("red",), "case": "c0", "split": None, "path": "a.jsonl",
              "row": 0}  # fmt: skip
    return Question(**{**values, **changes})


def answered(answers, *, task="colour", case=None, **changes) -> list[Question]:
    """A question for each answer, each a case of its own unless one is named."""
    choices = changes.pop("choices", tuple(sorted(set(answers) | {"other"})))
    return [
        question(task=task, choices=choices, answers=(answer,), case=case or f"{task} {row}", row=row, **changes)
        for row, answer in enumerate(answers)
    ]
