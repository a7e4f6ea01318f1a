"""Weaver on real verifiers' scores: choices, solutions and legal answers, weighed with a development set of 1 or 5 %.

What the study `weaver` simulates is real here: a small language model's likelihoods and its yes or no, cosines and
rules about multiple-choice questions and about the solutions of four systems to word problems, and seven language
models about legal questions (see answer_sets). Scores are made once a data set and kept as choose_answers reads them
(features/SET/candidates.jsonl of the study's folder). A seed draws three quarters of the questions, the development set
and who the student learns from. Rivals are the majority of the answers, the verifier that is best on the same
development set, the mean of the scaled scores and a logistic regression on the scores and all labels, cross-fitted over
questions; the student is a logistic regression on products of MiniLM's vectors of question and answer. In the control
every verifier's scores, and the agreement, are dealt anew among the answers to a question. Bars are the dossier's
(section f, 2 and 4), set before any score was made. Questions are few and the same for all seeds, so that intervals
over seeds are of these questions.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from raypipe.evaluate.claims import Claim
from raypipe.label.weaver import Weaver, best_of, scaled
from raypipe.run.chain import Step
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from ..parts.candidates import Candidates, candidates_of
from ..parts.choosing import Split, agreement, rules
from .answer_sets import rows_of
from .named_texts import minilm
from .open_data import made
from .study import Study

FILE = "candidates.jsonl"


def stage(settings: Mapping[str, Any], data: str, own: Folder) -> Step:
    """Candidates with their verifiers' scores, once for all trials."""
    names = ("n_asked", "n_questions", "model")

    def work(card: dict[str, Any], stopping: Any) -> None:
        """Write them as rows."""
        rows = _rows(data, *(settings[name] for name in names))
        own.write(FILE, "".join(json.dumps(row) + "\n" for row in rows).encode())
        card["counts"] = {"questions": len(rows), "answers": sum(len(row["candidates"]) for row in rows)}

    return Step({"data": data, **{name: settings[name] for name in names}}, work)


def _rows(data: str, n_asked: int, n_questions: int, model: str | None) -> list[dict[str, Any]]:
    return rows_of(data, n_questions if data == "lawma_answers" else n_asked, model)


@lru_cache(maxsize=8)
def _material(data: str, n_asked: int, n_questions: int, model: str | None) -> tuple[Candidates, np.ndarray]:
    """Candidates, and what the student reads of question and answer: [n, 2 d]."""
    kept = made(data)
    rows = (
        _rows(data, n_asked, n_questions, model) if kept is None
        else [json.loads(line) for line in kept.read(FILE).decode().splitlines()]
    )  # fmt: skip
    found = candidates_of(rows)
    asked, said = minilm(tuple(found.questions), 96)[found.of], minilm(tuple(found.texts), 96)
    return found, np.hstack([asked * said, said])


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """The share of questions whose chosen answer is right, by each rule and by the student."""
    every, X = _material(settings["data"], *(settings[name] for name in ("n_asked", "n_questions", "model")))
    rng = np.random.default_rng([seed, 18])
    order = rng.permutation(len(every.questions))[: 3 * len(every.questions) // 4]
    known = _development(every, order, settings["development"])
    judged = order[len(known) :] if settings["development"] < 1 else order
    rows = np.flatnonzero(np.isin(every.of, order))
    scores = np.column_stack([every.scores, agreement(every)])
    if settings["dealt"]:
        scores = _dealt(scores, every.of, rng)
    of, right, given = every.of[rows], every.correct[rows], scores[rows]
    dev = np.flatnonzero(np.isin(of, known))
    model = Weaver().fit(given, of, dev, right[dev])
    posterior = model.posterior(given)
    is_judged = np.isin(of, judged)

    def success(score: np.ndarray, on: np.ndarray = is_judged) -> float:
        return float(right[on][best_of(score[on], of[on])].mean())

    split = Split(known, judged, np.zeros(len(every.questions), bool))
    simple = rules(replace(every, scores=scores[:, :-1]), split, posterior)
    single = next(score for name, score in simple.items() if name.startswith("best single"))
    learns = np.isin(of, order[rng.random(len(order)) < 0.7])
    unseen = is_judged & ~learns
    student = _student(X[rows], posterior, learns)
    of_mean = _student(X[rows], scaled(given, given.min(axis=0), given.max(axis=0)).mean(axis=1), learns)
    return {
        "weaver": success(posterior), "majority": success(given[:, -1]), "best_single": success(single[rows]),
        "mean": success(simple["mean of scores"][rows]), "first": success(np.zeros(len(rows))),
        "oracle": success(right.astype(float)), "all_labels": success(_supervised(given, right, of)),
        "student": success(student, unseen), "student_of_mean": success(of_mean, unseen),
        "most_of_weaver": 0.95 * success(posterior, unseen), "kept": float(len(model.kept_)),
    }  # fmt: skip


def _development(candidates: Candidates, order: np.ndarray, share: float) -> np.ndarray:
    """The first questions [d] of this order: so many, two at least, and on until answers are right and wrong."""
    n = max(2, round(share * len(order)))
    while n < len(order):
        truth = candidates.correct[np.isin(candidates.of, order[:n])]
        if truth.any() and not truth.all():
            break
        n += 1
    return order[:n]


def _dealt(scores: np.ndarray, of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each column's scores [n, m] in another order within each question."""
    found = np.empty_like(scores)
    for at in range(scores.shape[1]):
        found[np.argsort(of, kind="stable"), at] = scores[np.lexsort((rng.random(len(of)), of)), at]
    return found


def _supervised(scores: np.ndarray, right: np.ndarray, of: np.ndarray) -> np.ndarray:
    """How likely each is right by a regression on scores and labels of the other questions: [n]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    found = cross_val_predict(model, scores, right, groups=of, cv=GroupKFold(5), method="predict_proba")
    return np.asarray(found)[:, 1]


def _student(X: np.ndarray, probability: np.ndarray, learns: np.ndarray) -> np.ndarray:
    """How likely each is right by what a student of question and answer learned of some: [n]."""
    from sklearn.linear_model import LogisticRegression

    kinds, weight = np.repeat([0, 1], learns.sum()), np.append(1 - probability[learns], probability[learns])
    student = LogisticRegression(C=10.0, max_iter=300).fit(np.vstack([X[learns]] * 2), kinds, sample_weight=weight)
    return np.asarray(student.predict_proba(X))[:, 1]


def _arm(development: float, *, dealt: bool = False) -> dict[str, Any]:
    return {"development": development, "dealt": dealt}


ONE, FIVE, ALL, DEALT = "1 % development set", "5 % development set", "all labels known", "scores dealt anew"
REAL = ("arc_easy", "openbook_qa", "gsm8k_solutions", "lawma_answers")
SAID_TWICE = ("gsm8k_solutions", "lawma_answers")
"""Where several candidates may say the same."""
STUDY = Study(
    source="J. Saad-Falcon et al., Weaver, arXiv 2506.18203, tables 1 and 3; dossier f, 2 and 4",
    trial=trial,
    arms={ONE: _arm(0.01), FIVE: _arm(0.05), ALL: _arm(1.0), DEALT: _arm(0.05, dealt=True)},
    control=DEALT,
    data=("debtags",),
    more_data=REAL,
    stage=stage,
    settings={"n_asked": 150, "n_questions": 600, "model": "sample"},
    quick={"n_asked": 40, "n_questions": 40, "model": None},
    seeds=5,
    more_code=("jobs.studies.answer_sets", "jobs.parts.choosing", "raypipe.label.moment_matching"),
    claims=(
        Claim(
            sentence="Weaver picks right answers more often than the majority of the answers",
            metric="weaver", of=FIVE, over=FIVE, over_metric="majority", data=SAID_TWICE,
        ),
        Claim(
            sentence="Weaver picks right answers more often than the verifier that is best on the development set",
            metric="weaver", of=FIVE, over=FIVE, over_metric="best_single",
        ),
        Claim(
            sentence="Weaver picks right answers more often than the mean of the scaled scores",
            metric="weaver", of=FIVE, over=FIVE, over_metric="mean",
        ),
        Claim(
            sentence="On legal questions, whose verifiers are large models, it is above the mean of the scaled scores",
            metric="weaver", of=FIVE, over=FIVE, over_metric="mean", data=("lawma_answers",),
        ),
        Claim(
            sentence="It comes within .05 of a regression on the scores and all labels, or is better",
            metric="weaver", of=FIVE, over=FIVE, over_metric="all_labels", at_least=-0.05,
        ),
        Claim(
            sentence="A development set of 1 % costs at most .03 against all labels (84.5 to 87.5 in the paper)",
            metric="weaver", of=ONE, over=ALL, at_least=-0.03,
        ),
        Claim(
            sentence="A student of question and answer picks 95 % as many right answers as Weaver on unseen questions",
            metric="student", of=FIVE, over=FIVE, over_metric="most_of_weaver",
        ),
        Claim(
            sentence="A student of the posterior is better than a student of the mean of the scaled scores",
            metric="student", of=FIVE, over=FIVE, over_metric="student_of_mean",
        ),
        Claim(
            sentence="Scores are above the same scores dealt anew among the answers to a question: .05",
            metric="weaver", of=FIVE, over=DEALT, at_least=0.05,
        ),
    ),
)  # fmt: skip
