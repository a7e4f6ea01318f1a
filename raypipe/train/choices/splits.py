"""Training, validation and test by case: what is asked of a test case in any task is never learnt in another.

Source: Lawma (arXiv 2407.16615): one split of the cases for all tasks, about 70, 10 and 20 %.
Departure: by hash of the case, so that a new case moves no other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from raypipe.train.choices.question import Question, fraction_of
from raypipe.train.data.left_out import LeftOut


@dataclass
class Divided:
    """Questions by what they are for, in their order, and why some are for nothing."""

    train: list[Question]
    validation: list[Question]
    test: list[Question]
    left_out: LeftOut


def divide(questions: Iterable[Question], *, validation_share: float, test_share: float) -> Divided:
    """Questions by split: the one that they name, or that of their case's hash.

    A case that the data put in several splits stays in the one it is measured in (test before validation); its rows
    elsewhere are left out.

    Raises
    ------
    ValueError
        If the shares aren't at least 0 and together below 1.
    """
    if min(validation_share, test_share) < 0 or validation_share + test_share >= 1:
        raise ValueError(
            "validation and test shares must be at least 0 and together below 1, got "
            f"{validation_share} + {test_share}; something must be left to learn from."
        )
    asked = [(question, _split(question, validation_share, test_share)) for question in questions]
    cases = {split: {question.case for question, at in asked if at == split} for split in ("validation", "test")}
    divided = Divided([], [], [], LeftOut())
    for question, split in asked:
        if split != "test" and question.case in cases["test"]:
            divided.left_out.add(f"{split} row of a test case", path=question.path, row=question.row)
        elif split == "train" and question.case in cases["validation"]:
            divided.left_out.add("train row of a validation case", path=question.path, row=question.row)
        else:
            getattr(divided, split).append(question)
    return divided


def _split(question: Question, validation_share: float, test_share: float) -> str:
    if question.split is not None:
        return question.split
    at = fraction_of(question.case, 0, "split")  # no seed: runs of other seeds are measured on the same cases
    return "test" if at < test_share else "validation" if at < test_share + validation_share else "train"
