"""Modeling Collaborator: a concept in words, questions answered by a model, and a small student in place of both.

Two sources of answers. Made: a rare concept among near-misses, and simulated annotators whose answer to each of six
questions is wrong one time in five, the same each time. Packages: the concept "plays or edits sound" among descriptions
of Debian packages, whose answers are MiniLM's cosines to phrases (attributes in embedding space); no language model has
answered anything here. A seed draws a pool and test rows. The student learns what the annotator says of rows near the
phrases and of rounds by its own margin; rivals are random rows, the rows it finds likeliest, the whole pool, the
concept's name alone with a threshold from a few labels, a regression on these labels, and one on all true labels. In
the control the annotator's verdicts are shuffled. Bars are the dossier's (section f), found there on AG News.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from raypipe.evaluate.claims import Claim
from raypipe.label.collaborator.answers import KeptAnswers
from raypipe.label.collaborator.concept import Concept
from raypipe.label.collaborator.student import distilled, mined
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .named_texts import minilm, named_texts
from .study import Study

SOUND = Concept(
    "sound",
    ("plays music", "edits or records sound", "a synthesizer or MIDI program", "converts audio files"),
    ("a game with sound effects", "shows or edits images", "sends or reads mail", "stores data in tables"),
)
"""Its questions were written before any text was looked at."""
MADE = Concept("made", ("a?", "b?", "c?"), ("d?", "e?", "f?"))
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Vectors [n, d], whether each is of the concept [n], answers [n, q], and the name's vector [d]."""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """F1 on test rows of the student, its annotator and the rivals, and how many answers it took."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score, f1_score

    concept = MADE if settings["data"] == "made" else SOUND
    X, y, answers, name = _rows(settings, seed)
    rng = np.random.default_rng([seed, 61])
    order = rng.permutation(len(X))
    pool, test, known = np.split(order, [len(X) // 2, len(X) - settings["n_labels"]])
    kept = KeptAnswers(lambda question, rows: answers[rows, concept.questions.index(question)], "simulated")
    shuffled = rng.permutation(len(X))

    def annotate(rows: np.ndarray) -> np.ndarray:
        """Verdicts on rows of the pool; of other rows in the control."""
        asked = shuffled[rows] if settings["verdicts"] == "shuffled" else rows
        return concept.decided(kept.of(concept.questions, asked))

    student, n_rows = _student(settings, X, pool, name, annotate, seed)
    calls = kept.calls
    few = LogisticRegression(class_weight="balanced", C=10.0, max_iter=500).fit(X[known], y[known])
    every = LogisticRegression(class_weight="balanced", C=10.0, max_iter=500).fit(X[pool], y[pool])
    cosines = X @ name
    tried = np.quantile(cosines[known], np.linspace(0.05, 0.95, 19))
    cut = max(tried, key=lambda one: f1_score(y[known], cosines[known] > one, zero_division=0))
    return {
        "student": float(f1_score(y[test], student.predict(X[test]))),
        "precision": float(average_precision_score(y[test], student.decision_function(X[test]))),
        "annotator": float(f1_score(y[test], concept.decided(answers[test]))),
        "zero_shot": float(f1_score(y[test], cosines[test] > cut, zero_division=0)),
        "few_labels": float(f1_score(y[test], few.predict(X[test]))),
        "all_labels": float(f1_score(y[test], every.predict(X[test]))),
        "rows": float(n_rows), "calls": float(calls), "calls_due": float(n_rows * len(concept.questions)),
    }  # fmt: skip


def _student(
    settings: Mapping[str, Any], X: np.ndarray, pool: np.ndarray, name: np.ndarray, annotate: Any, seed: int
) -> tuple[Any, int]:
    """The student of the arm, and on how many rows the annotator was asked."""
    if settings["choice"] == "whole":
        return distilled(X[pool], np.arange(len(pool)), lambda rows: annotate(pool[rows]), rounds=0)[0], len(pool)
    first = mined(X[pool], name[None], n_near=settings["first"], n_random=settings["first"], random_state=seed)
    student, rows = distilled(
        X[pool], first, lambda rows: annotate(pool[rows]), rounds=settings["rounds"], batch=settings["batch"],
        choice=settings["choice"], random_state=seed,
    )  # fmt: skip
    return student, len(rows)


def _rows(settings: Mapping[str, Any], seed: int) -> Rows:
    return _made(settings["n_rows"], seed) if settings["data"] == "made" else _packages(settings["max_rows"])


def _made(n: int, seed: int) -> Rows:
    """A quarter of the concept, a quarter near-misses that share half of its direction; answers wrong one in five."""
    rng, d = np.random.default_rng([seed, 60]), 32
    of, near = rng.normal(size=(2, d)) / np.sqrt(d)
    kind = rng.choice(3, n, p=[0.25, 0.25, 0.5])  # concept, near-miss, neither
    centres = np.stack([of, (of + near) / 2, np.zeros(d)])
    X = 2.2 * centres[kind] + rng.normal(size=(n, d)) / np.sqrt(d) * 1.6
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    is_so = np.column_stack([kind == 0] * 3 + [kind != 0] * 3)
    answers = (is_so ^ (rng.random((n, 6)) < 0.2)) + 0.5 * rng.random((n, 6))
    return X, kind == 0, answers, of / np.linalg.norm(of)


@lru_cache(maxsize=2)
def _packages(n: int) -> Rows:
    rows = named_texts("debtags", n)
    X = minilm(rows.texts, 24)
    asked = minilm((*SOUND.questions, "sound"), 24)
    return X, rows.y == rows.names.index("audio"), X @ asked[:-1].T, asked[-1]


def _arm(choice: str, **more: Any) -> dict[str, Any]:
    return {"choice": choice, "verdicts": "own", **more}


MARGIN, RANDOM, TOP, WHOLE = "rows by margin", "random rows", "likeliest rows", "whole pool"
CONTROL = "shuffled verdicts"
STUDY = Study(
    source="I. Toubal et al., CVPR 2024, arXiv 2403.02626, abstract; O. Stretcu et al., ICCV 2023; dossier d and f",
    trial=trial,
    arms={
        MARGIN: _arm("margin"),
        RANDOM: _arm("random"),
        TOP: _arm("top"),
        WHOLE: _arm("whole"),
        CONTROL: _arm("random", verdicts="shuffled"),
    },
    control=CONTROL,
    data=("made", "debtags"),
    settings={"n_rows": 1500, "max_rows": 400, "n_labels": 40, "first": 20, "rounds": 5, "batch": 20},
    quick={"n_rows": 200, "max_rows": 120, "n_labels": 30, "first": 14, "rounds": 1, "batch": 4},
    seeds=8,
    claims=(
        Claim(
            sentence="The annotator by questions is above the concept's name alone by .1",
            metric="annotator", of=MARGIN, over=MARGIN, over_metric="zero_shot", at_least=0.1,
        ),
        Claim(
            sentence="The student is at least as good as its annotator",
            metric="student", of=MARGIN, over=MARGIN, over_metric="annotator",
        ),
        Claim(
            sentence="Rows by margin are better than as many random ones",
            metric="student", of=MARGIN, over=RANDOM,
        ),
        Claim(
            sentence="Rows by margin are better than as many of the likeliest: .05",
            metric="student", of=MARGIN, over=TOP, at_least=0.05,
        ),
        Claim(
            sentence="Rows by margin come within .03 of the whole pool",
            metric="student", of=MARGIN, over=WHOLE, within=0.03,
        ),
        Claim(
            sentence="The student is above a regression on forty labels",
            metric="student", of=MARGIN, over=MARGIN, over_metric="few_labels",
        ),
        Claim(
            sentence="All true labels of the pool are above the student of the whole pool",
            metric="all_labels", of=WHOLE, over=WHOLE, over_metric="student",
        ),
        Claim(
            sentence="Verdicts of the rows are above shuffled ones: .2",
            metric="student", of=RANDOM, over=CONTROL, at_least=0.2,
        ),
    ),
)  # fmt: skip
