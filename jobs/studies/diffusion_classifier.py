"""Diffusion classifier: images by which class tells added noise best, with shared noise and in stages.

Digits, and Fashion-MNIST (--data) brought to 14 x 14: 1,257 images to train a small conditional denoiser on and 300 to
test; one denoiser a seed and set, shared by all arms. Bars are the dossier's (section f): accuracy of .98 with 25
shared evaluations, above logistic regression; shared noise two points above noise of each class's own at 2 and 5
evaluations, no more at 50; stages within a point with half the evaluations. Rivals: logistic regression; ablations:
noise of each class's own, absolute errors; control: weights drawn at random.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raypipe.classify.diffusion_classifier import DiffusionClassifier, grid, noise_of, subset, told_error
from raypipe.evaluate.claims import Claim
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import images, split
from .study import Study

N_GRID, COUNTS = 50, (2, 5, 25, 50)
KEEP, FIRST = 4, 10
Rows = tuple[np.ndarray, np.ndarray]


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy at several numbers of evaluations, staged, and the share of evaluations that stages take."""
    (X, y), (tests, truth) = _rows(settings["data"], seed, settings["n_test"])
    bars = {"bar": 0.98, "half": 0.5, "tenth": 0.1}
    if settings["kind"] == "logistic regression":
        scored = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X, y).score(tests, truth)
        return bars | {"accuracy_25": float(scored)}
    model = _fitted(settings["data"], seed, settings["n_epochs"], settings["n_test"])
    if settings["kind"] == "random":
        model = _random(model, seed)
    errors = _errors(model, tests, kind=settings["kind"])
    found = {f"accuracy_{n}": _accuracy(errors[:, :, _places(n)], truth, model) for n in COUNTS}
    staged, share = _staged(errors)
    return bars | found | {"staged": float((model.classes_[staged] == truth).mean()), "share": share}


@lru_cache(maxsize=1)
def _rows(data: str, seed: int, n_test: int) -> tuple[Rows, Rows]:
    X, y = images(data)
    if data == "fashion_mnist":  # means of 2 x 2 pixels: a network this small tells the noise of 784 badly
        X = X.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(len(X), -1)
    train, test = split(len(y), (1257, n_test), seed + 2900)
    return (X[train], y[train]), (X[test], y[test])


@lru_cache(maxsize=1)
def _fitted(data: str, seed: int, n_epochs: int, n_test: int) -> DiffusionClassifier:
    (X, y), _ = _rows(data, seed, n_test)
    return DiffusionClassifier(width=192, n_blocks=3, n_epochs=n_epochs, random_state=seed).fit(X, y)


def _random(model: DiffusionClassifier, seed: int) -> DiffusionClassifier:
    """One of the same shape whose denoiser has learned nothing: its weights in another order."""
    rng = np.random.default_rng([seed, 80])
    state = {
        name: rng.permutation(of.ravel()).reshape(of.shape) if name.startswith("denoiser.") else of
        for name, of in model.state().items()
    }
    return model.from_state(state)


def _errors(model: DiffusionClassifier, X: np.ndarray, *, kind: str) -> np.ndarray:
    """Of every row and class at every time of the grid: [n, k, N_GRID]."""
    Z, denoiser, k = (X - model.mean_) / model.scale_, model._denoiser(), len(model.classes_)
    found = np.empty((len(Z), k, N_GRID))
    shared = noise_of(Z, N_GRID)
    for of in range(k):
        noise = noise_of(Z, N_GRID, salt=bytes([of])) if kind == "unpaired" else shared
        for at, time in enumerate(grid(N_GRID)):
            loss = "l1" if kind == "l1" else "l2"
            found[:, of, at] = told_error(denoiser, Z, noise[:, at], time, np.full(len(Z), of), loss=loss)
    return found


def _places(n: int) -> list[int]:
    """Where the times of a stage of `n` evaluations stand in the grid."""
    times = grid(N_GRID)
    return [times.index(time) for time in subset(times, n)]


def _accuracy(errors: np.ndarray, truth: np.ndarray, model: DiffusionClassifier) -> float:
    return float((model.classes_[errors.mean(axis=2).argmin(axis=1)] == truth).mean())


def _staged(errors: np.ndarray) -> tuple[np.ndarray, float]:
    """The class kept last, where four are kept after ten evaluations; and the share of evaluations that it takes."""
    first = errors[:, :, _places(FIRST)].mean(axis=2)
    is_dropped = np.argsort(np.argsort(first, axis=1), axis=1) >= KEEP
    last = np.where(is_dropped, np.inf, errors.mean(axis=2))
    k = errors.shape[1]
    return last.argmin(axis=1), (k * FIRST + KEEP * (N_GRID - FIRST)) / (k * N_GRID)


PAIRED, UNPAIRED, ABSOLUTE = "noise shared by classes", "noise of each class's own", "absolute errors"
LINEAR, CONTROL = "logistic regression", "weights in another order"
STUDY = Study(
    source="A. Li et al., ICCV 2023, arXiv 2303.16203; dossier f, checks 1 to 3",
    trial=trial,
    arms={
        PAIRED: {"kind": "paired"},
        UNPAIRED: {"kind": "unpaired"},
        ABSOLUTE: {"kind": "l1"},
        LINEAR: {"kind": "logistic regression"},
        CONTROL: {"kind": "random"},
    },
    control=CONTROL,
    data=("digits",),
    more_data=("fashion_mnist",),
    settings={"n_epochs": 250, "n_test": 300},
    quick={"n_epochs": 1, "n_test": 20},
    seeds=5,
    more_code=("raypipe.classify.denoiser",),
    claims=(
        Claim(
            sentence="25 evaluations a class tell digits with an accuracy above .98",
            metric="accuracy_25", of=PAIRED, over=PAIRED, over_metric="bar", data=("digits",),
        ),
        Claim(
            sentence="Digits: that is more than logistic regression on the same split",
            metric="accuracy_25", of=PAIRED, over=LINEAR, data=("digits",),
        ),
        Claim(
            sentence="Digits: with 2 evaluations noise shared by classes is two points better than noise of their own",
            metric="accuracy_2", of=PAIRED, over=UNPAIRED, at_least=0.02, data=("digits",),
        ),
        Claim(
            sentence="Digits: and with 5",
            metric="accuracy_5", of=PAIRED, over=UNPAIRED, at_least=0.02, data=("digits",),
        ),
        Claim(
            sentence="Digits: with 50 they are alike, within a point",
            metric="accuracy_50", of=PAIRED, over=UNPAIRED, within=0.01, data=("digits",),
        ),
        Claim(
            sentence="Digits: four classes kept after ten evaluations are as accurate as all, within a point",
            metric="staged", of=PAIRED, over=PAIRED, over_metric="accuracy_50", within=0.01, data=("digits",),
        ),
        Claim(
            sentence="Digits: absolute errors are as accurate as squared ones, within two points",
            metric="accuracy_25", of=ABSOLUTE, over=PAIRED, within=0.02, data=("digits",),
        ),
        Claim(
            sentence="Digits: weights in another order tell nothing: within .1 of a tenth",
            metric="accuracy_25", of=CONTROL, over=CONTROL, over_metric="tenth", within=0.1, data=("digits",),
        ),
        Claim(
            sentence="Fashion-MNIST: 25 evaluations are more accurate than logistic regression on the same split",
            metric="accuracy_25", of=PAIRED, over=LINEAR, data=("fashion_mnist",),
        ),
        Claim(
            sentence="Fashion-MNIST: with 2 evaluations shared noise is two points better than noise of their own",
            metric="accuracy_2", of=PAIRED, over=UNPAIRED, at_least=0.02, data=("fashion_mnist",),
        ),
        Claim(
            sentence="Fashion-MNIST: and with 5",
            metric="accuracy_5", of=PAIRED, over=UNPAIRED, at_least=0.02, data=("fashion_mnist",),
        ),
        Claim(
            sentence="Fashion-MNIST: four classes kept after ten evaluations are as accurate as all, within a point",
            metric="staged", of=PAIRED, over=PAIRED, over_metric="accuracy_50", within=0.01, data=("fashion_mnist",),
        ),
        Claim(
            sentence="Fashion-MNIST: weights in another order tell nothing: within .1 of a tenth",
            metric="accuracy_25", of=CONTROL, over=CONTROL, over_metric="tenth", within=0.1, data=("fashion_mnist",),
        ),
    ),
)  # fmt: skip
