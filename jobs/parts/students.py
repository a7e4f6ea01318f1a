"""Students of a concept, one by each choice of rows: taught, judged beside their rivals and a control, and stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe.label.collaborator.student import Choice
from raypipe.storage.folder import Folder

from .concept_files import Recipe
from .concepts import (
    Annotator,
    AskedRows,
    Rounds,
    RowParts,
    best_cut,
    counted,
    f1_minus,
    figures,
    of_chance,
    taught,
    tune,
)

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Json = dict[str, Any]
CHANCE, ANNOTATOR, NAME, FEW = "shuffled verdicts", "annotator", "cosine to the name", "regression on tune_labels"


@dataclass(frozen=True)
class Distilled:
    """Students and what came of them."""

    X: np.ndarray
    """[n, d] of all rows."""
    truth: np.ndarray
    """[n] bool; False where there is none."""
    name: np.ndarray
    """[d] of the concept's name."""
    students: "dict[Choice, LogisticRegression]"
    rows: dict[Choice, np.ndarray]
    """That were annotated for each, in order."""
    verdicts: dict[Choice, np.ndarray]
    decided_by: str
    n_used: int
    """Answers that were used, asked for now or kept."""
    taught: Json
    judged: Json = field(default_factory=dict)
    minus: Json = field(default_factory=dict)
    """F1 of the first student less that of each other."""
    calls_of_judging: int = 0

    @classmethod
    def of(
        cls, recipe: Recipe, rows: AskedRows, parts: RowParts, annotator: Annotator, truth: Mapping[str, bool],
        given: Rounds, *, encoder: str, choices: Sequence[Choice],
    ) -> "Distilled":  # fmt: skip
        """Embed, tune and teach."""
        said = (*recipe.phrases, recipe.name)
        X, asked = embedded(rows.texts, encoder), embedded(said, encoder)
        is_so = np.array([truth.get(name, False) for name in rows.ids])
        decided_by = "rule"
        if len(parts.tune):
            decided_by = tune(annotator, parts.tune, is_so[parts.tune], seed=given.seed)
        students: dict[Choice, LogisticRegression] = {}
        annotated: dict[Choice, np.ndarray] = {}
        verdicts: dict[Choice, np.ndarray] = {}
        about: Json = {}
        for choice in choices:
            (student, own), calls = counted(
                annotator, partial(taught, X, asked[:-1], parts.pool, annotator, choice, given)
            )
            students[choice], annotated[choice], verdicts[choice] = student, own, annotator(own)
            about[choice] = {"rows": len(own), "positive": int(verdicts[choice].sum()), "calls": calls}
        n_used = _used(annotator, [parts.tune, *annotated.values()])
        return cls(X, is_so, asked[-1], students, annotated, verdicts, decided_by, n_used, about)


def embedded(texts: Sequence[str], encoder: str) -> np.ndarray:
    """Vectors [n, d] of length 1.

    Raises
    ------
    ValueError
        If a text has none.
    """
    from raypipe.embed.texts import embed

    found = embed(list(texts), model=encoder)
    if bad := [(at, why) for at, why in enumerate(found["reason"].to_pylist()) if why]:
        raise ValueError(f"every text must have a vector, {texts[bad[0][0]][:80]!r} has none: {bad[0][1]}.")
    X = np.stack(found["embedding"].to_numpy()).astype(np.float64)
    unit: np.ndarray = X / np.linalg.norm(X, axis=1, keepdims=True)
    return unit


def _used(annotator: Annotator, parts: Sequence[np.ndarray]) -> int:
    """Different answers about these rows, and about no text where they are calibrated."""
    n = len({int(row) for part in parts for row in part}) + int(annotator.calibrates)
    return n * len(annotator.concept.questions)


def judged(made: Distilled, annotator: Annotator, parts: RowParts, *, seed: int) -> Distilled:
    """With what the truth of the test rows says of students, annotator, the name's cosine and the control."""
    X, truth = made.X[parts.test], made.truth[parts.test]
    if truth.all() or not truth.any():
        raise ValueError(
            f"the {len(truth)} rows with truth must be of both sorts, {int(truth.sum())} are of the concept."
        )
    said: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # verdicts and scores
    for choice, student in made.students.items():
        said[f"student by {choice}"] = student.predict(X), student.decision_function(X)
    answers, calls = counted(annotator, lambda: annotator.answers(parts.test))
    p = len(annotator.concept.positive)
    rest = answers[:, p:].max(axis=1) if answers.shape[1] > p else 0.0
    said[ANNOTATOR] = annotator.decide(answers), answers[:, :p].max(axis=1) - rest
    cosines, first = made.X @ made.name, next(iter(made.students))
    if len(parts.tune):
        cut = best_cut(cosines[parts.tune], made.truth[parts.tune])
        few = _few(made.X[parts.tune], made.truth[parts.tune])
        said[FEW] = few.predict(X), few.decision_function(X)
    else:  # as often as the student finds it in the pool
        share = made.students[first].predict(made.X[parts.pool]).mean()
        cut = float(np.quantile(cosines[parts.pool], 1 - share))
    said[NAME] = cosines[parts.test] >= cut, cosines[parts.test]
    control = of_chance(made.X[made.rows[first]], made.verdicts[first], seed=seed)
    said[CHANCE] = control.predict(X), control.decision_function(X)
    ours, *others = said
    minus = f1_minus(said[ours][0], {name: said[name][0] for name in others}, truth, seed=seed)
    return replace(
        made,
        judged={name: figures(*one, truth, seed=seed) for name, one in said.items()},
        minus=minus,
        n_used=_used(annotator, [parts.tune, parts.test, *made.rows.values()]),
        calls_of_judging=calls,
    )


def _few(X: np.ndarray, y: np.ndarray) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(class_weight="balanced", C=10.0, max_iter=500).fit(X, y)


def saved(made: Distilled, name: str, folder: Folder) -> None:
    """Store the first student for `predict`: its classes are the concept's name and "not" before it."""
    from raypipe.classify.logistic_regression import LogisticRegression
    from raypipe.models.fitted import save_fitted

    student = next(iter(made.students.values()))
    n = made.X.shape[1]
    stored = LogisticRegression(C=student.C, max_iter=student.max_iter)
    stored.mean_, stored.scale_, stored.n_features_in_ = np.zeros(n), np.ones(n), n
    stored.classes_, stored.n_iter_ = np.array([f"not {name}", name]), int(student.n_iter_.max())
    stored.coef_ = np.vstack([np.zeros(n), student.coef_[0]])
    stored.intercept_ = np.array([0.0, student.intercept_[0]])
    save_fitted(stored, folder)


def said_of(made: Distilled, rows: AskedRows, annotator: Annotator) -> list[Json]:
    """A row a text: the first student's probability, and the annotator's verdict where it was asked for it."""
    choice, student = next(iter(made.students.items()))
    probability = student.predict_proba(made.X)[:, 1]
    verdicts = dict(zip(made.rows[choice].tolist(), made.verdicts[choice].tolist(), strict=True))
    return [
        {"id": name, "probability": round(float(probability[at]), 6), "is_so": bool(probability[at] > 0.5),
         "annotator": verdicts.get(at)}
        for at, name in enumerate(rows.ids)
    ]  # fmt: skip
