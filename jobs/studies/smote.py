"""SMOTE: small classes filled up between neighbours and the large one thinned, by the paper's ROC protocol.

For each arm the large class is thinned to several sizes; each gives a point of false and true positives, averaged over
folds, and the points a curve from (0, 0) to (1, 1) with its area and that of its convex hull. Data: digit 8 cut to 30
rows, and with --data tables of KEEL. Bars are the dossier's (section f): below .005 of area is noise, trees on SMOTE's
rows are smaller than on copies. Rivals: thinning alone, copies; ablations: a gap an attribute, lines between any two
rows of the class; control: the new rows are rows of the large class.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

from raypipe.classify.smote import SMOTE
from raypipe.evaluate.claims import Claim
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import real, vectors
from .study import Study

UNDER = (25, 50, 100, 200, 400)
"""Rows of the small class in per cent of the large one's that are left."""
FAMILIES = ("abalone", "glass", "page-blocks", "vehicle", "winequality", "yeast")
MIN_MINORITY, MAX_ROWS = 30, 1600
"""Of the tables taken: the first of each family of this size."""
Rows = tuple[np.ndarray, np.ndarray]


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Areas of the arm's curves with a tree and with a logistic regression, and the size of the trees."""
    tables = _tables(settings["data"], seed)[: settings["n_tables"]]
    found = [_protocol(X, y, settings, seed) for X, y in tables]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


@lru_cache(maxsize=2)
def _tables(data: str, seed: int) -> list[Rows]:
    """Tables of two classes, 1 the small one, columns standardised."""
    if data == "digits":
        X, y = vectors(data)
        rng = np.random.default_rng([seed, 55])
        few = rng.permutation(np.flatnonzero(y == 8))[:30]
        rows = np.concatenate([rng.permutation(np.flatnonzero(y != 8))[:900], few])
        return [(_scaled(X[rows]), (y[rows] == 8).astype(np.int64))]
    return [_table(name) for name in _names()]


def _names() -> list[str]:
    import pyarrow.parquet as pq

    index = pq.read_table(real("imbalanced_a") / "_index.parquet").to_pylist()
    fit = [row for row in index if row["minority"] >= MIN_MINORITY and row["rows"] <= MAX_ROWS]
    names = sorted(str(row["dataset"]) for row in fit if not row["categorical"])
    return [min(of) for family in FAMILIES if (of := [name for name in names if name.startswith(family)])]


def _table(name: str) -> Rows:
    import pyarrow.parquet as pq

    table = pq.read_table(real("imbalanced_a") / f"{name}.parquet")
    columns = [table[column].to_numpy() for column in table.column_names if column != "label"]
    return _scaled(np.stack(columns, axis=1).astype(np.float64)), table["label"].to_numpy().astype(np.int64)


def _scaled(X: np.ndarray) -> np.ndarray:
    spread = X.std(axis=0)
    return np.asarray((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _protocol(X: np.ndarray, y: np.ndarray, settings: dict[str, Any], seed: int) -> Metrics:
    points: dict[str, list[np.ndarray]] = {"tree": [], "regression": []}
    nodes: list[int] = []
    folds = list(StratifiedKFold(settings["n_folds"], shuffle=True, random_state=seed).split(X, y))
    for under in UNDER:
        rates: dict[str, list[list[float]]] = {name: [] for name in points}
        for at, (train, test) in enumerate(folds):  # resampled inside the fold only
            rows, labels = _resampled(X[train], y[train], settings, under, 1000 * seed + at)
            models = {
                "tree": DecisionTreeClassifier(min_samples_leaf=2, random_state=seed).fit(rows, labels),
                "regression": LogisticRegression(max_iter=200, tol=1e-3).fit(rows, labels),
            }
            nodes.append(models["tree"].tree_.node_count)
            for name, model in models.items():
                said = model.predict(X[test])
                rates[name].append([said[y[test] == 0].mean(), said[y[test] == 1].mean()])
        for name, of in rates.items():
            points[name].append(np.mean(of, axis=0))
    areas = {f"{name}_area": area_under(of) for name, of in points.items()}
    hulls = {f"{name}_hull": hull_area(of) for name, of in points.items()}
    return {**areas, **hulls, "tree_nodes": float(np.mean(nodes))}


def _resampled(X: np.ndarray, y: np.ndarray, settings: dict[str, Any], under: float, seed: int) -> Rows:
    """The rows of the arm: `percent` more rows of the small class, made in its way, then the large class thinned."""
    rng, own = np.random.default_rng(seed), np.flatnonzero(y == 1)
    n_new = round(len(own) * settings["percent"] / 100)
    if settings["way"] in ("copies", "large class"):
        pool = own if settings["way"] == "copies" else np.flatnonzero(y == 0)
        X = np.concatenate([X, X[rng.choice(pool, n_new)]])
        y = np.concatenate([y, np.ones(n_new, np.int64)])
        return SMOTE(percent=0, under=under, random_state=seed).fit_resample(X, y)
    k = len(own) if settings["way"] == "any two" else 5
    model = SMOTE(
        percent=settings["percent"], under=under, k=k, per_attribute=settings["way"] == "box", random_state=seed
    )
    return model.fit_resample(X, y)


def area_under(points: Sequence[np.ndarray]) -> float:
    """Area under the line through points (false, true positives) and the corners, by trapezoids."""
    line = np.array(sorted([(0.0, 0.0), *map(tuple, points), (1.0, 1.0)]))
    return float(np.trapezoid(line[:, 1], line[:, 0]))


def hull_area(points: Sequence[np.ndarray]) -> float:
    """Area under the upper convex hull of the points and the corners."""
    return float(ConvexHull(np.array([*points, (0, 0), (1, 1), (1, 0)]), qhull_options="QJ").volume)


ALONE, SMOTED, MUCH = "thinning alone", "SMOTE 200 %", "SMOTE 500 %"
COPIES, BOX, ANY, CONTROL = (
    "copies 200 %",
    "a gap an attribute",
    "lines between any two rows",
    "rows of the large class",
)
STUDY = Study(
    source="N. Chawla et al., JAIR 16, 2002, arXiv 1106.1813, sections 4 and 5; dossier f, checks 2 and 3",
    trial=trial,
    arms={
        ALONE: {"way": "smote", "percent": 0},
        "SMOTE 100 %": {"way": "smote", "percent": 100},
        SMOTED: {"way": "smote", "percent": 200},
        MUCH: {"way": "smote", "percent": 500},
        COPIES: {"way": "copies", "percent": 200},
        BOX: {"way": "box", "percent": 200},
        ANY: {"way": "any two", "percent": 200},
        CONTROL: {"way": "large class", "percent": 200},
    },
    control=CONTROL,
    data=("digits",),
    more_data=("imbalanced_a",),
    settings={"n_folds": 5, "n_tables": 6},
    quick={"n_folds": 2, "n_tables": 1},
    seeds=6,
    claims=(
        Claim(
            sentence="Digits, tree: SMOTE of 500 % and thinning have more area than thinning alone, by more than .005",
            metric="tree_area", of=MUCH, over=ALONE, at_least=0.005, data=("digits",),
        ),
        Claim(
            sentence="Digits, logistic regression: so it is, by more than .005",
            metric="regression_area", of=MUCH, over=ALONE, at_least=0.005, data=("digits",),
        ),
        Claim(
            sentence="KEEL tables, tree: SMOTE of 200 % and thinning have more area, by more than .005",
            metric="tree_area", of=SMOTED, over=ALONE, at_least=0.005, data=("imbalanced_a",),
        ),
        Claim(
            sentence="KEEL tables, tree: so has the convex hull",
            metric="tree_hull", of=SMOTED, over=ALONE, at_least=0.005, data=("imbalanced_a",),
        ),
        Claim(
            sentence="Trees on SMOTE's rows are smaller than on copies",
            metric="tree_nodes", of=SMOTED, over=COPIES, lower_is_better=True,
        ),
        Claim(
            sentence="Tree: SMOTE has more area than copies of as many rows",
            metric="tree_area", of=SMOTED, over=COPIES,
        ),
        Claim(
            sentence="Logistic regression: SMOTE has more area than copies (not promised)",
            metric="regression_area", of=SMOTED, over=COPIES,
        ),
        Claim(
            sentence="One gap a row or one an attribute is the same within .01 of area",
            metric="tree_area", of=SMOTED, over=BOX, within=0.01,
        ),
        Claim(
            sentence="Neighbours matter: more area than with lines between any two rows",
            metric="tree_area", of=SMOTED, over=ANY,
        ),
        Claim(
            sentence="New rows must be of the class: .02 more area than with rows of the large class",
            metric="tree_area", of=SMOTED, over=CONTROL, at_least=0.02,
        ),
    ),
)  # fmt: skip
