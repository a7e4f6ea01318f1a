"""What a classifier shows of itself, for the report: decisions on rows that it hasn't learned, radii, choices of TEEN.

One more fit, on the training rows of the first fold; the fold's other rows are decided on.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raypipe.contracts.estimator import Certified, Estimator, Explains
from raypipe.evaluate.cross_validation import KnownRows, folds_of
from raypipe.fitting.inputs import Input
from raypipe.fitting.names import fit_with_names

from .pictures import PatchShape, Resembles, pictures_of

if TYPE_CHECKING:
    from raypipe.classify.teen import TEEN

PER_CLASS, MOST, CHARACTERS = 2, 40, 80
FRACTIONS = (0.05, 0.25, 0.5, 0.75, 0.95)
ALPHAS, TAUS, N_DRAWS, MAX_SHOTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (4.0, 16.0, 64.0), 5, 5
Json = dict[str, Any]


def shown(
    estimator: Estimator, feed: Input, rows: KnownRows, *, n_folds: int, seed: int, patch: PatchShape | None = None
) -> Json:
    """Decisions, radii and choices of an estimator and of what feeds it, neither fitted; {} if it says nothing.

    Where vectors begin with patches of an image, decisions have pictures of the parts that they name.
    """
    if not (isinstance(estimator, Explains | Certified) or _is_teen(estimator)):
        return {}
    fold = folds_of(rows, n_folds=n_folds, seed=seed)[0]
    own = deepcopy(feed).fit(rows.known.take(fold.train))
    X, _ = own.encode(rows.known.take(fold.train))
    if _is_teen(estimator):
        return choices_of_teen(estimator, X, rows.targets[fold.train], seed=seed)  # type: ignore[arg-type]
    model = fit_with_names(type(estimator)(**estimator.get_params()), own, X, rows.targets[fold.train])
    tests = rows.known.take(fold.test)
    Z, reasons = own.encode(tests)
    usable = np.array([reason is None for reason in reasons], bool)
    known = usable & np.isin(rows.targets[fold.test], rows.targets[fold.train])
    Z, y, tests = Z[known], rows.targets[fold.test][known], tests.filter(pa.array(known))
    found = decisions(model, own, Z, y, tests, learned=X, patch=patch)
    return found | (radii_of(model, Z, y) if isinstance(model, Certified) else {})


def _is_teen(estimator: Estimator) -> bool:
    return type(estimator).__name__ == "TEEN"


def decisions(
    model: Estimator, feed: Input, X: np.ndarray, y: np.ndarray, table: pa.Table, *, learned: np.ndarray,
    patch: PatchShape | None,
) -> Json:  # fmt: skip
    """A few rows of each class, wrong ones first: what was answered, the radius, and why, in words and in pictures."""
    answers = np.asarray(model.predict(X))
    order = np.argsort(answers == y, kind="stable")
    of_classes = [order[y[order] == name][:PER_CLASS] for name in np.unique(y)]
    rows = np.concatenate([np.empty(0, int), *of_classes])
    rows = rows[np.argsort(answers[rows] == y[rows], kind="stable")][:MOST]
    if not len(rows):
        return {}
    found = [
        {"row": _said(table, int(row)), "class": str(y[row]), "answer": str(answers[row])} for row in rows
    ]  # fmt: skip
    more: dict[str, Sequence[Any]] = {}
    if isinstance(model, Explains):
        more["why"] = model.explain(X[rows], feed.feature_names)
    if isinstance(model, Certified):
        more["radius"] = [float(one) for one in model.radius(X[rows])]
    if patch is not None and isinstance(model, Resembles):
        more["pictures"] = pictures_of(model, X[rows], learned, patch)
    for name, values in more.items():
        for of, value in zip(found, values, strict=True):
            of[name] = value
    return {"decisions": found}


def _said(table: pa.Table, row: int) -> str:
    """How a text begins, or its numbers; of a list how long it is."""
    cells = [table[name][row].as_py() for name in table.column_names]
    words = ", ".join(_of_list(cell) if isinstance(cell, list) else str(cell) for cell in cells)
    return words if len(words) <= CHARACTERS else words[: CHARACTERS - 1] + "\u2026"


def _of_list(cell: list[Any]) -> str:
    return f"{len(cell)} {'vectors' if cell and isinstance(cell[0], list) else 'numbers'}"


def radii_of(model: Certified, X: np.ndarray, y: np.ndarray) -> Json:
    """Quantiles of the radius within which a row keeps its own class, of each class; below 0 it isn't of that."""
    radius = model.radius(X, y)
    classes = {
        str(name): {"n": int((y == name).sum()), "quantiles": np.quantile(radius[y == name], FRACTIONS).tolist()}
        for name in np.unique(y)
    }
    every = {"n": len(y), "quantiles": np.quantile(radius, FRACTIONS).tolist()} if len(y) else {}
    return {"radii": {"fractions": list(FRACTIONS), "classes": classes, "all": every}}


def choices_of_teen(model: "TEEN", X: np.ndarray, y: np.ndarray, *, seed: int) -> Json:
    """Harmonic mean of base and new accuracy by alpha and tau, where a third of the base classes is treated as new."""
    from raypipe.classify.teen import TEEN, session_accuracy

    names, counts = np.unique(y, return_counts=True)
    shots = model.max_shots or MAX_SHOTS
    base = names[counts > 2 * shots]
    about = {"alpha": model.alpha, "tau": model.tau, "shots": shots, "base_classes": len(base)}
    if len(base) < 3:
        return {"teen": about}
    rng, totals = np.random.default_rng(seed), np.zeros((len(ALPHAS), len(TAUS)))
    for _ in range(N_DRAWS):
        new = rng.choice(base, len(base) // 3, replace=False)
        order = rng.permutation(np.flatnonzero(np.isin(y, base)))
        ranks = np.zeros(len(order), int)
        for name in base:
            ranks[y[order] == name] = np.arange((y[order] == name).sum())
        is_new = np.isin(y[order], new)
        half = counts[np.searchsorted(names, y[order])] // 2
        taught, few = order[~is_new & (ranks < half)], order[is_new & (ranks < shots)]
        test = np.setdiff1d(order, np.concatenate([taught, few]))
        for (at, alpha), (to, tau) in product(enumerate(ALPHAS), enumerate(TAUS)):
            one = TEEN(alpha=alpha, tau=tau).fit(X[taught], y[taught]).add_classes(X[few], y[few])
            totals[at, to] += session_accuracy(one, X[test], y[test]).harmonic / N_DRAWS
    return {"teen": {**about, "alphas": list(ALPHAS), "taus": list(TAUS), "harmonic": totals.tolist()}}
