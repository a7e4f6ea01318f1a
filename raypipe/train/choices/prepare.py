"""From questions to what is learnt, validated and tested."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.contracts.rows import Document
from raypipe.models.tokenizer import Vocabulary
from raypipe.train.choices.class_cap import cap_majority
from raypipe.train.choices.labels import Labels, find_labels
from raypipe.train.choices.mixture import Mixture
from raypipe.train.choices.prompt import Cut, Prompter
from raypipe.train.choices.question import Question, fraction_of
from raypipe.train.choices.read import Questions
from raypipe.train.choices.splits import divide
from raypipe.train.data.left_out import LeftOut


@dataclass(frozen=True)
class ChoiceSettings:
    """How questions are split, balanced, mixed and cut (--learn choices)."""

    test_share: float = 0.2
    """Share of the cases that is only tested on (--learn choices); --heldout-share is the validation's."""
    class_cap: bool = True
    """Down-sample each task's majority class to at most all others together, in every split (--learn choices)."""
    task_examples: int | None = None
    """At most so many training examples a task, the same ones for a larger limit and more (--learn choices)."""
    task_temperature: float = 1.0
    """Tasks are seen in shares n^(1/T): 1 in proportion to their examples, higher more evenly (--learn choices)."""
    cut: Cut = "end"
    """Which part of a text that is too long goes (--learn choices)."""


@dataclass
class Prepared:
    """Everything that training and evaluation need."""

    train: list[Document]
    validation: list[Document]
    order: Mixture
    """Of `train`, by epoch."""
    labels: Labels
    learnt: list[tuple[Question, str]]
    """The training questions, in the order of `train`, with the answer that is learnt."""
    all_train: list[Question]
    """Before the class cap: what the majority is taken from."""
    test: list[Question]
    prompts: list[Document]
    """Of the test."""
    weights: np.ndarray  # [n] float64
    """Of the test: how many questions each stands for, on the natural distribution."""
    left_out: LeftOut
    counts: dict[str, int]
    """Questions by split, before and after the class cap."""


def prepare(
    questions: Questions,
    vocabulary: Vocabulary,
    settings: ChoiceSettings,
    *,
    length: int,
    validation_share: float,
    seed: int,
) -> Prepared:
    """Split, balance and write out the questions; all of it a function of the arguments.

    Raises
    ------
    ValueError
        If nothing is left to learn from or to test on, the tokenizer has too few labels, or a setting is wrong.
    """
    if settings.task_examples is not None and settings.task_examples < 1:
        raise ValueError(f"task_examples must be at least 1, got {settings.task_examples}.")
    labels = find_labels(vocabulary, max(len(question.choices) for question in questions.found))
    prompter = Prompter(vocabulary, labels, length, settings.cut)
    fitting, left_out = _fitting(questions.found, prompter)
    left_out.update(questions.left_out)
    split = divide(fitting, validation_share=validation_share, test_share=settings.test_share)
    left_out.update(split.left_out)
    whole = {"train": split.train, "validation": split.validation, "test": split.test}
    capped = {name: _capped(of, is_capped=settings.class_cap) for name, of in whole.items()}
    train, (test, weights) = first_of_each_task(capped["train"][0], settings.task_examples, seed=seed), capped["test"]
    if not train or not test:
        raise ValueError(
            f"there must be questions to learn from and to test on, got {len(train)} and {len(test)}; "
            f"left out: {dict(left_out.counts)}. Check the splits, or lower test_share."
        )
    learnt = [(question, question.drawn_answer(seed)) for question in train]
    known = [(question, question.drawn_answer(seed)) for question in capped["validation"][0]]
    counts = {name: len(of) for name, of in whole.items()} | {f"{name} kept": len(capped[name][0]) for name in whole}
    return Prepared(
        train=_examples(learnt, prompter),
        validation=_examples(known, prompter),
        order=Mixture([q.task for q in train], temperature=settings.task_temperature, seed=seed),
        labels=labels,
        learnt=learnt,
        all_train=split.train,
        test=test,
        prompts=[_fits(prompter.asked(question)) for question in test],
        weights=weights,
        left_out=left_out,
        counts={**counts, "train kept": len(train)},
    )


def first_of_each_task(questions: Sequence[Question], limit: int | None, *, seed: int) -> list[Question]:
    """At most `limit` questions a task, in their order: those that come first by hash."""
    if limit is None:
        return list(questions)
    by_task: dict[str, list[int]] = {}
    for at in sorted(range(len(questions)), key=lambda at: fraction_of(questions[at].place, seed, "task examples")):
        by_task.setdefault(questions[at].task, []).append(at)
    return [questions[at] for at in sorted(at for rows in by_task.values() for at in rows[:limit])]


def _capped(questions: list[Question], *, is_capped: bool) -> tuple[list[Question], np.ndarray]:
    return cap_majority(questions) if is_capped else (questions, np.ones(len(questions)))


def _fitting(questions: Sequence[Question], prompter: Prompter) -> tuple[list[Question], LeftOut]:
    """The questions whose instruction, question and choices fit, whatever is left of the text."""
    fitting, left_out = [], LeftOut()
    for question in questions:
        if prompter.fits(question):
            fitting.append(question)
        else:
            why = f"longer than {prompter.length} tokens without a text"
            left_out.add(why, path=question.path, row=question.row)
    return fitting, left_out


def _examples(learnt: Sequence[tuple[Question, str]], prompter: Prompter) -> list[Document]:
    return [_fits(prompter.example(question, answer)) for question, answer in learnt]


def _fits(document: Document | None) -> Document:
    assert document is not None  # the others were left out
    return document
