"""The best of K answers by verifiers' scores, beside simple rules; and a student of question and answer alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raypipe.arrays.intervals import wilson_interval

from .candidates import Candidates

if TYPE_CHECKING:
    from raypipe.classify.logistic_regression import LogisticRegression
    from raypipe.fitting.words import WordVectors

Json = dict[str, Any]
MAJORITY = "majority of the answers"
"""The verifier that is added to those of the rows, as in the paper."""
WRONG_RIGHT = np.array(["wrong", "right"])


@dataclass(frozen=True)
class Split:
    """Numbers of questions."""

    development: np.ndarray
    """Whose truth is looked at."""
    judged: np.ndarray
    """The others whose truth is known."""
    student: np.ndarray
    """[q] bool: whose answers the student learns from; it is tested on the others."""


def split(candidates: Candidates, *, share: float, student_share: float, seed: int) -> Split:
    """A development set of this share of all questions, two at least; drawn by the seed.

    Raises
    ------
    ValueError
        If the truth of fewer is known, or those that are drawn have no right or no wrong answer.
    """
    rng, known = np.random.default_rng(seed), np.flatnonzero(candidates.known)
    n = max(2, round(share * len(candidates.questions)))
    if len(known) < n:
        raise ValueError(f"development asks for {n} questions with `correct`, and {len(known)} have it; give more.")
    drawn = np.sort(rng.choice(known, n, replace=False))
    truth = candidates.correct[np.isin(candidates.of, drawn)]
    if truth.all() or not truth.any():
        raise ValueError(
            f"the {n} questions of the development set must have right and wrong answers, got {truth.sum()} right of "
            f"{len(truth)}; raise development or take another seed."
        )
    is_student = rng.random(len(candidates.questions)) < student_share
    return Split(drawn, np.setdiff1d(known, drawn), is_student)


def posterior_of(candidates: Candidates, given: Split) -> tuple[np.ndarray, Json]:
    """Weaver's probability [n] that each answer is right; and which threshold and verifiers it took.

    Raises
    ------
    ValueError
        If fewer than three verifiers are of use.
    """
    from raypipe.label.weaver import Weaver

    scores = np.column_stack([candidates.scores, agreement(candidates)])
    rows = np.flatnonzero(np.isin(candidates.of, given.development))
    model = Weaver().fit(scores, candidates.of, rows, candidates.correct[rows])
    names = [*candidates.verifiers, MAJORITY]
    rates = {names[at]: rate.round(3).tolist() for at, rate in zip(model.kept_, model.rates_, strict=True)}
    about = {"threshold": model.threshold_, "class_balance": model.class_balance_, "rates": rates,
             "left_out": [name for at, name in enumerate(names) if at not in model.kept_]}  # fmt: skip
    return model.posterior(scores), about


def agreement(candidates: Candidates) -> np.ndarray:
    """The share of a question's answers that say the same as each: [n]."""
    said = np.unique(candidates.said, return_inverse=True)[1].reshape(-1)
    _, at, counts = np.unique(np.column_stack([candidates.of, said]), axis=0, return_inverse=True, return_counts=True)
    found: np.ndarray = counts[at.reshape(-1)] / np.bincount(candidates.of)[candidates.of]
    return found


def rules(candidates: Candidates, given: Split, posterior: np.ndarray) -> dict[str, np.ndarray]:
    """Scores [n] by which an answer may be chosen: ours, its rivals, and the oracle."""
    from raypipe.label.weaver import best_of, scaled

    raw = np.where(np.isnan(candidates.scores), np.nanmin(candidates.scores, axis=0), candidates.scores)
    rows = np.flatnonzero(np.isin(candidates.of, given.development))
    right = [candidates.correct[rows][best_of(of[rows], candidates.of[rows])].mean() for of in raw.T]
    best = int(np.argmax(right))
    level = scaled(raw, raw.min(axis=0), raw.max(axis=0)).mean(axis=1)
    return {
        "weaver": posterior,
        "majority": agreement(candidates),
        f"best single: {candidates.verifiers[best]}": raw[:, best],
        "mean of scores": level,
        "first": np.zeros(len(raw)),
        "oracle": candidates.correct.astype(float),
    }


def success(candidates: Candidates, score: np.ndarray, questions: np.ndarray) -> Json:
    """The share of these questions whose chosen answer is right, with Wilson's interval."""
    from raypipe.label.weaver import best_of

    rows = np.flatnonzero(np.isin(candidates.of, questions))
    share = float(candidates.correct[rows][best_of(score[rows], candidates.of[rows])].mean())
    low, high = wilson_interval(share, len(questions))
    return {"success": share, "low": low, "high": high, "n": len(questions)}


def student_of(
    candidates: Candidates, probability: np.ndarray, given: Split, *, n_dimensions: int
) -> "tuple[LogisticRegression, WordVectors, np.ndarray]":
    """A student of the words of question and answer that learns probabilities [n]; and what it says of all [n]."""
    from raypipe.classify.logistic_regression import LogisticRegression
    from raypipe.fitting.soft import fit_soft
    from raypipe.fitting.words import WordVectors

    pairs = zip(candidates.of, candidates.texts, strict=True)
    table = pa.table({"text": [f"{candidates.questions[at]}\n{text}" for at, text in pairs]})
    learned = given.student[candidates.of]
    words = WordVectors(("text",), n_dimensions=n_dimensions).fit(table.filter(pa.array(learned)))
    X, _ = words.encode(table)
    soft = np.column_stack([1 - probability, probability])
    model = LogisticRegression()
    fit_soft(model, X[learned], soft[learned], WRONG_RIGHT)
    found: np.ndarray = model.predict_proba(X)[:, list(model.classes_).index("right")]
    return model, words, found


def table_of(found: Json) -> list[str]:
    """For a terminal."""
    lines = [f"{'chosen by':<40} right, of {found['n_judged']:,} questions that aren't the development set"]
    for name, one in found["rules"].items():
        lines.append(f"  {name:<38} {100 * one['success']:5.1f} % [{100 * one['low']:.1f}, {100 * one['high']:.1f}]")
    if student := found.get("student"):
        lines.append(f"{'student, on questions it has not seen':<40} of {student['n']:,}")
        for name in ("of the posterior", "of the majority", "weaver itself"):
            one = student[name]
            lines.append(
                f"  {name:<38} {100 * one['success']:5.1f} % [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"
            )
    return lines
