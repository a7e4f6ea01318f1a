"""Bags with a number each, of files or of the run's stages; a regressor of their instances, judged and stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raypipe.corpus.records import read_records
from raypipe.fitting.bags import BagSample, bags_of
from raypipe.models.fitted import save_fitted
from raypipe.runs.life import Life
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .classifiers import gathered
from .labelled import column_of

if TYPE_CHECKING:
    from raypipe.classify.weakstil import WeakSTIL
    from raypipe.corpus import Corpus

EVALUATION, INNER = "evaluation.json", 3
OURS, RIDGE, SHUFFLED, MEAN = "weakstil", "ridge on mean vectors", "shuffled numbers", "mean of the others"
Json = dict[str, Any]


@dataclass(frozen=True)
class Bags:
    """What is learned from."""

    vectors: list[np.ndarray]
    """[l, d] each."""
    y: np.ndarray
    """[n] float64."""
    n_left_out: int
    """Numbers whose bag isn't there, or has no vector."""
    sizes: tuple[int, int]
    """Vectors of the smallest and of the largest bag, before any were drawn."""

    @property
    def sha256(self) -> str:
        """Of vectors and numbers."""
        digest = sha256(self.y.tobytes())
        for bag in self.vectors:
            digest.update(np.ascontiguousarray(bag).tobytes())
        return digest.hexdigest()


def read_numbers(uris: tuple[str, ...], column: str) -> dict[str, float]:
    """The number of each id in files of rows with both; rows without a number are passed over.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If a row has no id or no finite number, an id has two numbers, or there are fewer than three.
    """
    found: dict[str, float] = {}
    for record in read_records(uris):
        value = record.values.get(column)
        if record.reason is not None or value is None:
            continue
        where = f"{record.path}, row {record.row}"
        if (name := record.values.get("id")) is None:
            raise ValueError(f"{where}: a row with a number must have an id too.")
        number = _number(value, where, column)
        if found.setdefault(str(name), number) != number:
            raise ValueError(f"{where}: id {name!r} has two numbers, {found[str(name)]} and {number}.")
    _check_enough(len(found), uris, column)
    return found


def _number(value: Any, where: str, column: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{where}: {column} must be a finite number, got {value!r}.")
    return float(value)


def _check_enough(n: int, uris: tuple[str, ...], column: str) -> None:
    if n < 3:
        raise ValueError(f"{', '.join(uris)} must hold three rows with {column!r} at least, got {n}.")


def bags_of_files(uris: tuple[str, ...], *, number: str, column: str, max_instances: int, seed: int) -> Bags:
    """Rows of files that have a number and a list of vectors themselves.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the column isn't of lists of vectors, a number isn't finite, or there are fewer than three rows.
    """
    values: list[Any] = []
    numbers: list[float] = []
    for record in read_records(uris):
        if record.reason is None and (value := record.values.get(number)) is not None:
            values.append(record.values.get(column))
            numbers.append(_number(value, f"{record.path}, row {record.row}", number))
    _check_enough(len(numbers), uris, number)
    lists = pa.chunked_array([column_of(column, values)])
    keys = np.arange(len(values))
    return _made(
        list(bags_of(lists, keys, max_vectors=max_instances, seed=seed)), numbers, [len(of or ()) for of in values]
    )


def bags_of_stage(
    numbers: Mapping[str, float], life: Life, stage: str, *, column: str, corpus: "Corpus", max_instances: int,
    max_bags: int, seed: int,
) -> Bags:  # fmt: skip
    """Lists of vectors of a stage of the run for the ids that have a number, gathered on workers.

    Raises
    ------
    KeyError, FileNotFoundError, ValueError
        If the stage or the column isn't there.
    """
    from raypipe.run.inputs import resolve, sizes_of, stages_of

    stages = stages_of((column,))
    resolve(life.run, (column,), stages=stages)
    sizes = sizes_of(life.run, stages[0])
    asked = BagSample(column, max_bags, max_instances, seed, frozenset(numbers))
    found = gathered(asked, life, stage, corpus, sizes, identity_of(corpus, sizes))
    bags = _made(found.bags, [numbers[name] for name in found.row_ids], found.sizes)
    return Bags(bags.vectors, bags.y, len(numbers) - len(bags.y), bags.sizes)


def _made(bags: list[np.ndarray], numbers: list[float], sizes: list[int]) -> Bags:
    there = [at for at, bag in enumerate(bags) if len(bag)]
    if len(there) < 3 or len({numbers[at] for at in there}) < 2:
        raise ValueError(
            f"there must be three bags with a vector and two different numbers, got {len(there)} of {len(bags)}; see "
            "that the ids are those of the stage."
        )
    of = [sizes[at] for at in there]
    y = np.array([numbers[at] for at in there])
    return Bags([bags[at] for at in there], y, len(bags) - len(there), (min(of), max(of)))


def evaluate(model: "WeakSTIL", bags: Bags, *, alphas: tuple[float, ...] = (), folds: int = 5, seed: int = 0) -> Json:
    """Cross-validation over bags beside ridge on mean vectors, shuffled numbers and the mean.

    Of `alphas` each fold takes the one that foretells bags held out of its training best; (): the model's own.

    Raises
    ------
    ValueError
        If there are fewer bags than folds, or fewer than two folds.
    """
    from raypipe.evaluate.bags import compare_bag_regressors

    n = len(bags.y)
    if not 2 <= folds <= n:
        raise ValueError(f"folds must be between 2 and the {n} bags, got {folds}.")
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.arange(n) % folds)
    shuffled = rng.permutation(bags.y)
    found = {name: np.zeros(n) for name in (OURS, RIDGE, SHUFFLED, MEAN)}
    for fold in range(folds):
        train, test = np.flatnonzero(of != fold), np.flatnonzero(of == fold)
        own = with_best_alpha(model, bags, bags.y, train, alphas=alphas, seed=seed)
        found[OURS][test] = _taught(own, bags, bags.y, train, test)
        found[SHUFFLED][test] = _taught(own, bags, shuffled, train, test)
        found[RIDGE][test] = _ridge(bags, train, test)
        found[MEAN][test] = bags.y[train].mean()
    compared = compare_bag_regressors(found, bags.y, ours=OURS, seed=seed)
    sizes = {"smallest": bags.sizes[0], "largest": bags.sizes[1]}
    return {**compared, "folds": folds, "seed": seed, "sizes": sizes, "left_out": bags.n_left_out}


def with_best_alpha(
    model: "WeakSTIL", bags: Bags, y: np.ndarray, rows: np.ndarray, *, alphas: tuple[float, ...], seed: int
) -> "WeakSTIL":
    """The model, unfitted, with the penalty that foretells each third of these bags best after the others."""
    if len(alphas) < 2 or len(rows) < INNER:
        return type(model)(**{**model.get_params(), **({"alpha": alphas[0]} if alphas else {})})
    found = [type(model)(**{**model.get_params(), "alpha": alpha}) for alpha in alphas]
    errors, order = np.zeros(len(alphas)), np.random.default_rng(seed).permutation(rows)
    for at in range(INNER):
        held = order[at::INNER]
        taught = np.setdiff1d(order, held)
        errors += [((_taught(one, bags, y, taught, held) - y[held]) ** 2).sum() for one in found]
    return found[int(np.argmin(errors))]


def _taught(model: "WeakSTIL", bags: Bags, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    fitted = type(model)(**model.get_params()).fit_bags((bags.vectors[at], float(y[at])) for at in train)
    return np.array([fitted.predict(bags.vectors[at]).mean() for at in test])


def _ridge(bags: Bags, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    means = np.array([bag.mean(axis=0) for bag in bags.vectors], np.float64)
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 17)))
    found: np.ndarray = model.fit(means[train], bags.y[train]).predict(means[test])
    return found


def fit_and_save(
    model: "WeakSTIL", bags: Bags, found: Json, folder: Folder, *, alphas: tuple[float, ...], seed: int
) -> None:
    """Fit on all bags, with the best penalty; the fitted folder, and what the cross-validation has found."""
    own = with_best_alpha(model, bags, bags.y, np.arange(len(bags.y)), alphas=alphas, seed=seed)
    fitted = own.fit_bags(zip(bags.vectors, bags.y.tolist(), strict=True))
    found["alpha"] = fitted.alpha
    folder.write(EVALUATION, json.dumps(found, indent=1).encode())
    save_fitted(fitted, folder)


def lines_of(found: Json) -> list[str]:
    """The measures of each contender, for the terminal."""
    sizes, left_out = found["sizes"], found["left_out"]
    spread = f"{sizes['smallest']:,} to {sizes['largest']:,} instances"
    lines = [f"{found['n_bags']:,} bags of {spread} in {found['folds']} folds; 95 % intervals"]
    for name, of in found["contenders"].items():
        said = [f"{label} {of[one]['mean']:.3f} ({of[one]['low']:.3f} to {of[one]['high']:.3f})"
                for one, label in (("r2", "R^2"), ("spearman", "rank correlation"))]  # fmt: skip
        lines.append(f"{name}: {', '.join(said)}")
    lines.append(f"penalty on squared weights: {found['alpha']:g}")
    return [*lines, *([f"left out: {left_out:,} numbers without a bag"] if left_out else [])]
