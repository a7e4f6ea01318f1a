"""Wide and deep limits: 1 / distance^alpha with alpha the dimension, between the nearest neighbour and the majority.

Two classes of Dirichlet points brought to the circle (d = 1) and the sphere (d = 2), whose Bayes rule is known. Rivals
are other alphas, the nearest neighbour, the majority as the control, the network's kernel itself at 60 layers, and the
Bayes rule as the ceiling. Bars are the dossier's (section f).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import dirichlet
from sklearn.neighbors import KNeighborsClassifier

from raypipe.classify.singular_kernel import SingularKernel, deep_kernel, intrinsic_dimension, optimal_dual
from raypipe.evaluate.baselines import majority
from raypipe.evaluate.claims import Claim
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .study import Study

CLASSES = {"circle": ((1.0, 2.0), (2.0, 1.0)), "sphere": ((0.5, 0.5, 2.5), (2.5, 0.1, 0.5))}
DIMENSION = {"circle": 1, "sphere": 2}
SHARE = 0.6
"""Of the second class."""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy with few and with many rows, and how far it is from the Bayes rule's on the same test rows."""
    name, (few, many) = settings["data"], settings["rows"]
    rng = np.random.default_rng([seed, DIMENSION[name]])
    train, y = _points(name, many, rng)
    test, z = _points(name, settings["n_test"], rng)
    best = float((_bayes(name, test) == z).mean())
    found = {"bayes": best}
    for size, n in (("few", few), ("many", many)):
        found[size] = float((_answers(settings, name, (train[:n], y[:n]), test) == z).mean())
        found[f"gap_{size}"] = best - found[size]
    if settings["model"] == "deep":
        found |= {"slope": _slope(name, settings["depth"]), "exponent": -float(DIMENSION[name])}
    if settings["model"] == "kernel" and settings["alpha"] == 1.0:
        found |= {"dimension": intrinsic_dimension(_unit(train)), "true_dimension": float(DIMENSION[name])}
    return found


def _points(name: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points of the simplex [n, d + 1] and classes [n]; none has a coordinate that isn't above 0."""
    y = (rng.random(n) < SHARE).astype(int)
    first, second = (dirichlet.rvs(alphas, n, random_state=rng) for alphas in CLASSES[name])
    X = np.maximum(np.where(y[:, None] == 1, second, first), 1e-12)
    return X / X.sum(axis=1, keepdims=True), y


def _unit(X: np.ndarray) -> np.ndarray:
    found: np.ndarray = X / np.linalg.norm(X, axis=1, keepdims=True)
    return found


def _bayes(name: str, X: np.ndarray) -> np.ndarray:
    logs = [dirichlet(alphas).logpdf for alphas in CLASSES[name]]
    odds = np.array([logs[1](x) - logs[0](x) for x in X]) + np.log(SHARE / (1 - SHARE))
    found: np.ndarray = (odds > 0).astype(int)
    return found


def _answers(
    settings: Mapping[str, Any], name: str, rows: tuple[np.ndarray, np.ndarray], asked: np.ndarray
) -> np.ndarray:
    X, y = rows
    if settings["model"] == "majority":
        return majority(y, len(asked))
    if settings["model"] == "bayes":
        return _bayes(name, asked)
    if settings["model"] == "nearest":
        return np.asarray(KNeighborsClassifier(1).fit(_unit(X), y).predict(_unit(asked)))
    if settings["model"] == "deep":  # the identity in place of the inverse of the kernel of the rows, as in the limit
        products = np.clip(_unit(asked) @ _unit(X).T, 0.0, 1.0)
        kernel = deep_kernel(products, optimal_dual(DIMENSION[name]), depth=settings["depth"])
        return np.asarray(kernel @ (2 * y - 1) > 0).astype(int)
    return np.asarray(SingularKernel(alpha=settings["alpha"] * DIMENSION[name]).fit(X, y).predict(asked))


def _slope(name: str, depth: int) -> float:
    """Of the logarithm of the deep kernel over that of the distance, from 1e-3 to 1e-1."""
    r = np.geomspace(1e-3, 1e-1, 100)
    kernel = deep_kernel(1 - r**2 / 2, optimal_dual(DIMENSION[name]), depth=depth)
    return float(np.polyfit(np.log(r), np.log(kernel), 1)[0])


OPTIMAL, HALF, QUARTER, STEEP = "alpha = d", "alpha = d / 2", "alpha = d / 4", "alpha = 8 d"
DEEP, NEAREST, MAJORITY, BAYES = "60 layers of the optimal activation", "nearest neighbour", "majority", "Bayes rule"
STUDY = Study(
    source="A. Radhakrishnan et al., arXiv 2204.14126, theorem of the three limits and its figures; dossier f",
    trial=trial,
    arms={
        OPTIMAL: {"model": "kernel", "alpha": 1.0},
        HALF: {"model": "kernel", "alpha": 0.5},
        QUARTER: {"model": "kernel", "alpha": 0.25},
        STEEP: {"model": "kernel", "alpha": 8.0},
        DEEP: {"model": "deep"},
        NEAREST: {"model": "nearest"},
        MAJORITY: {"model": "majority"},
        BAYES: {"model": "bayes"},
    },
    control=MAJORITY,
    data=("circle", "sphere"),
    settings={"rows": (300, 3000), "n_test": 1000, "depth": 60},
    quick={"rows": (50, 200), "n_test": 200},
    seeds=10,
    more_code=("raypipe.fitting.classes",),
    claims=(
        Claim(
            sentence="Circle, 3,000 rows: alpha = d beats the nearest neighbour by 4 points",
            metric="many", of=OPTIMAL, over=NEAREST, at_least=0.04, data=("circle",),
        ),
        Claim(
            sentence="Sphere, 3,000 rows: alpha = d beats the nearest neighbour by 1 point",
            metric="many", of=OPTIMAL, over=NEAREST, at_least=0.01, data=("sphere",),
        ),
        Claim(
            sentence="Its distance from the Bayes rule shrinks from 300 rows to 3,000",
            metric="gap_many", of=OPTIMAL, over=OPTIMAL, over_metric="gap_few", lower_is_better=True,
        ),
        Claim(
            sentence="Alpha = d is better than d / 2 with 3,000 rows (the paper's, of ever more rows)",
            metric="many", of=OPTIMAL, over=HALF,
        ),
        Claim(
            sentence="Alpha = d is better than 8 d",
            metric="many", of=OPTIMAL, over=STEEP,
        ),
        Claim(
            sentence="A large alpha is the nearest neighbour: 8 d is within a point of it",
            metric="many", of=STEEP, over=NEAREST, within=0.01,
        ),
        Claim(
            sentence="Circle: a small alpha is the majority: d / 4 is within a point of it",
            metric="many", of=QUARTER, over=MAJORITY, within=0.01, data=("circle",),
        ),
        Claim(
            sentence="Alpha = d beats the majority by 10 points",
            metric="many", of=OPTIMAL, over=MAJORITY, at_least=0.1,
        ),
        Claim(
            sentence="The network's kernel at 60 layers answers as the formula does, within half a point",
            metric="many", of=DEEP, over=OPTIMAL, within=0.005,
        ),
        Claim(
            sentence="Its exponent is minus the dimension, within .002",
            metric="slope", of=DEEP, over=DEEP, over_metric="exponent", within=0.002,
        ),
        Claim(
            sentence="The dimension is found from the rows alone, within a tenth",
            metric="dimension", of=OPTIMAL, over=OPTIMAL, over_metric="true_dimension", within=0.1,
        ),
        Claim(
            sentence="Alpha = d is within 3 points of the Bayes rule with 3,000 rows",
            metric="many", of=OPTIMAL, over=BAYES, at_least=-0.03,
        ),
    ),
)  # fmt: skip
