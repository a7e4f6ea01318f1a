"""FOLD-SE: few rules at the accuracy of many, on tables of numbers, categories and empty cells.

Each table is split 80 to 20 by the seed; rules are those that the program prints, exceptions included. Bars are the
dossier's (section f): fewer rules than FOLD-R++ with accuracy within .04; on heart at most 5 where FOLD-R++ has 9 and
more; on adult less than 1.5 times the rules for ten times the rows. Rival: a decision tree pruned alike for all tables;
ablations: the criterion, the tail, the complements; control: shuffled classes. --data takes the folder `data` of the
repository hwd404/FOLD-R-PP.
"""

import csv
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from raypipe.classify.fold_se import FoldSE
from raypipe.evaluate.claims import Claim
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import real, split, vectors
from .study import Study

TABLES = {
    "heart": ("age blood_pressure serum_cholestoral maximum_heart_rate_achieved oldpeak", "absent"),
    "kidney": ("age bp sg bgr bu sc sod pot hemo pcv wbcc rbcc", "ckd"),
    "ecoli": ("mcg gvh lip chg aac alm1 alm2", "cp"),
    "autism": ("age", "NO"),
    "breastw": ("", "malignant"),
    "adult": ("age fnlwgt education_num capital_gain capital_loss hours_per_week", "<=50K"),
}
"""Columns of numbers, and the class that has rules; all other columns are of categories."""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy on held-out rows, rules printed, and their growth from a tenth of the rows to all."""
    X, y = _table(settings["data"])
    n_test = len(X) // 5
    train, test = split(len(X), (len(X) - n_test, n_test), seed)
    labels = y[train]
    if settings["method"] == "shuffled":
        labels = np.random.default_rng([seed, 1]).permutation(labels)
    commonest = max(y[test].mean(), 1 - y[test].mean())
    found = {"commonest": float(commonest), "five": 5.0, "nine": 9.0}
    if settings["method"] == "tree":
        codes = _coded(X)
        tree = DecisionTreeClassifier(ccp_alpha=0.005, random_state=seed).fit(codes[train], labels)
        return found | {"accuracy": float(tree.score(codes[test], y[test])), "rules": float(tree.get_n_leaves())}
    rules, accuracy = _learnt(settings, X[train], labels, X[test], y[test])
    few, _ = _learnt(settings, X[train[::10]], labels[::10], X[test], y[test])
    return found | {"accuracy": accuracy, "rules": float(rules), "growth": rules / max(few, 1), "one_and_a_half": 1.5}


def _learnt(
    settings: dict[str, Any], X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray
) -> tuple[int, float]:
    """Rules of a model and its accuracy."""
    kind = {name: settings[name] for name in ("criterion", "tail", "complements")}
    model = FoldSE(positive=1 if y.any() else None, **kind).fit(X, y)
    return model.n_rules_, float(model.score(X_test, y_test))


@lru_cache(maxsize=2)
def _table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Cells [n, d], and 1 for rows of the class that has rules [n]."""
    if name == "wine":
        X, y = vectors(name)
        return X, (y == 1).astype(int)
    if name not in TABLES:
        return vectors(name)
    numbers, positive = TABLES[name]
    with (real(name) / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [column for column in rows[0] if column not in ("id", "label", "sn")]
    cells = [[_cell(row[column], is_number=column in numbers.split()) for column in names] for row in rows]
    return np.array(cells, dtype=object), np.array([int(row["label"] == positive) for row in rows])


def _cell(text: str, *, is_number: bool) -> float | str | None:
    if text in ("", "?"):
        return None
    return float(text) if is_number else text


def _coded(X: np.ndarray) -> np.ndarray:
    """Numbers as they are and categories as a column each, as a tree must have them; empty cells are -1 and zeros."""
    if X.dtype != object:
        return X
    columns: list[np.ndarray] = []
    for cells in X.T:
        if any(isinstance(cell, str) for cell in cells):
            columns += [cells == one for one in sorted({cell for cell in cells if cell is not None})]
        else:
            columns.append(np.array([-1.0 if cell is None else cell for cell in cells]))
    return np.column_stack(columns).astype(float)


OURS, R_PLUS_PLUS, TREE = "FOLD-SE", "FOLD-R++", "decision tree, pruned"
GINI, NO_TAIL, NO_COMPLEMENTS, SHUFFLED = "Gini impurity", "no tail cut", "no complements", "shuffled classes"
_SE = {"method": "rules", "criterion": "sqrt", "tail": 0.005, "complements": True}
STUDY = Study(
    source="H. Wang and G. Gupta, arXiv 2208.07912, abstract; arXiv 2110.07843, table 1; dossier f, checks 2 and 3",
    trial=trial,
    arms={
        OURS: _SE,
        R_PLUS_PLUS: {**_SE, "criterion": "ig", "tail": 0.0, "complements": False},
        TREE: {"method": "tree"},
        GINI: {**_SE, "criterion": "gini"},
        NO_TAIL: {**_SE, "tail": 0.0},
        NO_COMPLEMENTS: {**_SE, "complements": False},
        SHUFFLED: {**_SE, "method": "shuffled"},
    },
    control=SHUFFLED,
    data=("breast_cancer", "wine"),
    more_data=("heart", "kidney", "ecoli", "autism", "breastw", "adult"),
    seeds=8,
    more_code=("raypipe.classify.fold_learner", "raypipe.classify.tables", "raypipe.classify.rules"),
    claims=(
        Claim(
            sentence="FOLD-SE prints fewer rules than FOLD-R++",
            metric="rules", of=OURS, over=R_PLUS_PLUS, lower_is_better=True,
        ),
        Claim(
            sentence="It is as accurate as FOLD-R++: within .04",
            metric="accuracy", of=OURS, over=R_PLUS_PLUS, within=0.04,
        ),
        Claim(
            sentence="On heart it prints at most 5 rules",
            metric="rules", of=OURS, over=OURS, over_metric="five", lower_is_better=True, data=("heart",),
        ),
        Claim(
            sentence="On heart FOLD-R++ prints 9 rules or more",
            metric="rules", of=R_PLUS_PLUS, over=R_PLUS_PLUS, over_metric="nine", data=("heart",),
        ),
        Claim(
            sentence="On adult ten times the rows give less than 1.5 times the rules",
            metric="growth", of=OURS, over=OURS, over_metric="one_and_a_half", lower_is_better=True, data=("adult",),
        ),
        Claim(
            sentence="The square-root impurity prints fewer rules than Gini's",
            metric="rules", of=OURS, over=GINI, lower_is_better=True,
        ),
        Claim(
            sentence="Cutting the tail saves rules",
            metric="rules", of=OURS, over=NO_TAIL, lower_is_better=True,
        ),
        Claim(
            sentence="Complements cost no accuracy: within .02",
            metric="accuracy", of=OURS, over=NO_COMPLEMENTS, within=0.02,
        ),
        Claim(
            sentence="It prints fewer rules than a pruned decision tree has leaves",
            metric="rules", of=OURS, over=TREE, lower_is_better=True,
        ),
        Claim(
            sentence="It is as accurate as a pruned decision tree: within .04",
            metric="accuracy", of=OURS, over=TREE, within=0.04,
        ),
        Claim(
            sentence="Rules of shuffled classes are worse by .1",
            metric="accuracy", of=OURS, over=SHUFFLED, at_least=0.1,
        ),
    ),
)  # fmt: skip
