"""A concept in words as questions, and what decides from their answers.

Source: I. Toubal et al., Modeling Collaborator, CVPR 2024 (its abstract): a definition becomes positive and negative
attributes, questions about them are answered, and the answers decide. With a hundred labels the annotator is tuned.
Departures: the decision is a rule, the best positive answer against the best negative, or a logistic regression on the
answers where that is better on labels it hasn't seen; the plain rule stays a candidate, since with few labels tuning
may do harm. No language model writes the reasoning.
Cost: O(n q) for q questions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Concept:
    """What a row of the concept is like, and what near-misses are like."""

    name: str
    positive: tuple[str, ...]
    """Questions whose answer is high for rows of the concept."""
    negative: tuple[str, ...] = ()
    """Those that are high for what looks similar and isn't."""

    def __post_init__(self) -> None:
        """Refuse a concept without a positive question, blank ones, and one asked twice.

        Raises
        ------
        ValueError
            With the questions.
        """
        if not self.positive or not all(one.strip() for one in self.questions):
            raise ValueError(
                f"concept {self.name!r} must have positive questions, none of them blank, got {self.positive}."
            )
        if len(set(self.questions)) < len(self.questions):
            raise ValueError(f"every question must be asked once, one of {self.questions} comes twice.")

    @property
    def questions(self) -> tuple[str, ...]:
        """Positive, then negative ones."""
        return (*self.positive, *self.negative)

    def decided(self, answers: np.ndarray, *, threshold: float = 0.0) -> np.ndarray:
        """Whether the best positive answer is above the best negative one: answers [n, q] -> [n] bool.

        Without negative questions, whether it is above the threshold.
        """
        p = len(self.positive)
        rest = answers[:, p:].max(axis=1) if self.negative else np.full(len(answers), threshold)
        found: np.ndarray = answers[:, :p].max(axis=1) > rest
        return found


Decision = Callable[[np.ndarray], np.ndarray]
"""Answers [n, q] -> [n] bool."""


def tuned(concept: Concept, answers: np.ndarray, labels: np.ndarray, *, random_state: int = 0) -> tuple[str, Decision]:
    """The rule, or a regression on the answers [n, q]: which has the higher F1 on half of the labels [n], its name too.

    Raises
    ------
    ValueError
        If there are fewer than four rows of either sort.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import train_test_split

    if min(labels.sum(), (~labels).sum()) < 4:
        raise ValueError(f"tuning needs four rows of the concept and four others, got {int(labels.sum())} and "
                         f"{int((~labels).sum())}.")  # fmt: skip
    fit, judge = train_test_split(np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=random_state)
    regression = LogisticRegression(class_weight="balanced", C=100.0).fit(answers[fit], labels[fit])
    by_rule = f1_score(labels[judge], concept.decided(answers[judge]))
    by_regression = f1_score(labels[judge], regression.predict(answers[judge]))
    if by_regression <= by_rule:
        return "rule", concept.decided
    whole = LogisticRegression(class_weight="balanced", C=100.0).fit(answers, labels)
    return "regression", lambda asked: np.asarray(whole.predict(asked), bool)
