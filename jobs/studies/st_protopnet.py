"""ST-ProtoPNet: support and trivial prototypes on patches of images, pushed onto training patches.

Digits as nine overlapping patches of 4 x 4, Fashion-MNIST as sixteen of 7 x 7, each patch with its place; 900 images to
learn from, 5 prototypes a class and branch, as many steps for every branch. Bars are the dossier's (section f): mean
cosine of prototypes of two classes above .5 in the support branch and below .1 in the trivial one, accuracy within a
point of logistic regression on pooled features, at most two points lost by the push. Rivals: logistic regression on
mean and maximum of the patches, an ensemble of two plain heads; ablations: one branch alone, orthonormality as heavy as
for the authors' 200 classes; control: shuffled labels.
"""

from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from raypipe.classify.st_protopnet import STProtoPNet
from raypipe.evaluate.claims import Claim
from raypipe.fitting.prototypes import PLAIN, SUPPORT, TRIVIAL, Branch, Sets, Terms, alike, placed, similarities
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import images, split
from .study import Study

SIZES = {"digits": (8, 4, 2), "fashion_mnist": (28, 7, 7)}
"""Side of an image, of a patch, and the step from one to the next."""
Rows = tuple[np.ndarray, np.ndarray]


class _Watched(STProtoPNet):
    """Keeps its branches as they are before the push, with the last layer as it was trained with them: fixed."""

    before_: list[Branch]

    def _settle(self, branches: list[Branch], sets: Sets, at: np.ndarray, names: list[tuple[str, ...]] | None) -> None:
        self.before_ = [dict(branch) for branch in branches]
        super()._settle(branches, sets, at, names)

    def accuracy_before(self, X: np.ndarray, y: np.ndarray) -> float:
        """Before the push."""
        sets = self._sets(X)
        logits = sum(similarities(branch, sets)[0] @ branch["weights"].T for branch in self.before_)
        return float((self.classes_[np.asarray(logits).argmax(axis=1)] == y).mean())


class _TrivialAlone(_Watched):
    terms: ClassVar[tuple[Terms, ...]] = (TRIVIAL,)
    kinds: ClassVar[tuple[str, ...]] = ("trivial",)


class _SupportAlone(_Watched):
    terms: ClassVar[tuple[Terms, ...]] = (SUPPORT,)
    kinds: ClassVar[tuple[str, ...]] = ("support",)


class _TwoPlain(_Watched):
    terms: ClassVar[tuple[Terms, ...]] = (PLAIN, PLAIN)
    kinds: ClassVar[tuple[str, ...]] = ("plain", "plain")


class _Orthonormal(_Watched):
    terms: ClassVar[tuple[Terms, ...]] = tuple(of._replace(orthonormality=0.02) for of in (TRIVIAL, SUPPORT))


KINDS: dict[str, type[_Watched]] = {
    "both": _Watched, "trivial": _TrivialAlone, "support": _SupportAlone, "plain": _TwoPlain,
    "orthonormal": _Orthonormal, "shuffled": _Watched,
}  # fmt: skip


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy, before the push too; how alike prototypes of classes are; whether each is the patch that it names."""
    (X, y), (tests, truth) = _rows(settings["data"], seed, settings["n_test"])
    bars = {"tenth": 0.1, "twentieth": 0.05, "half": 0.5, "whole": 0.9999}
    if settings["kind"] == "pooled":
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(_pooled(X), y)
        return bars | {"accuracy": float(model.score(_pooled(tests), truth))}
    if settings["kind"] == "shuffled":
        y = np.random.default_rng([seed, 79]).permutation(y)
    kind = KINDS[settings["kind"]]
    fitted = kind(n_epochs=settings["n_epochs"] * len(kind.terms), random_state=seed).fit(X, y)
    first, last = alike(fitted.before_[0]), alike(fitted.before_[-1])
    return bars | {
        "accuracy": float((fitted.predict(tests) == truth).mean()),
        "accuracy_before": fitted.accuracy_before(tests, truth),
        "first_between": first[0], "first_within": first[1], "last_between": last[0], "last_within": last[1],
        "pushed_between": alike(fitted.branches_[-1])[0],
        "patch_cosine": min(_cosines(fitted, branch, places, X) for branch, places in enumerate(fitted.places_)),
    }  # fmt: skip


def _cosines(fitted: STProtoPNet, branch: int, places: np.ndarray, X: np.ndarray) -> float:
    """The lowest cosine of a prototype and the training patch that it names."""
    of, vectors = fitted.branches_[branch], X[places[:, 0], places[:, 1]]
    there = placed(of, (vectors - fitted.mean_) / fitted.scale_)
    return float((there * of["prototypes"]).sum(axis=1).min())


def _pooled(X: np.ndarray) -> np.ndarray:
    return np.hstack([X.mean(axis=1), X.max(axis=1)])


@lru_cache(maxsize=2)
def _rows(data: str, seed: int, n_test: int) -> tuple[Rows, Rows]:
    X, y = images(data)
    train, test = split(len(y), (900, n_test), seed + 1700)
    return (_patches(X[train], data), y[train]), (_patches(X[test], data), y[test])


def _patches(X: np.ndarray, data: str) -> np.ndarray:
    """Every patch, and where it is, from -1 to 1: [n, side^2] -> [n, l, size^2 + 2]."""
    side, size, step = SIZES[data]
    pictures, found = X.reshape(-1, side, side), []
    starts = range(0, side - size + 1, step)
    for row in starts:
        for column in starts:
            place = np.array([row, column]) * 2 / (side - size) - 1
            pixels = pictures[:, row : row + size, column : column + size].reshape(len(X), -1)
            found.append(np.hstack([pixels, np.broadcast_to(place, (len(X), 2))]))
    return np.stack(found, axis=1)


BOTH, TRIVIAL_ALONE, SUPPORT_ALONE = "trivial and support", "trivial alone", "support alone"
PLAIN_TWO, ORTHONORMAL = "ensemble of two plain heads", "orthonormality twenty times as heavy"
POOLED, CONTROL = "logistic regression on pooled patches", "shuffled labels"
STUDY = Study(
    source="C. Wang et al., ICCV 2023, arXiv 2301.04011; dossier f, checks 1 to 4",
    trial=trial,
    arms={
        BOTH: {"kind": "both"},
        TRIVIAL_ALONE: {"kind": "trivial"},
        SUPPORT_ALONE: {"kind": "support"},
        PLAIN_TWO: {"kind": "plain"},
        ORTHONORMAL: {"kind": "orthonormal"},
        POOLED: {"kind": "pooled"},
        CONTROL: {"kind": "shuffled"},
    },
    control=CONTROL,
    data=("digits",),
    more_data=("fashion_mnist",),
    settings={"n_epochs": 40, "n_test": 800},
    quick={"n_epochs": 1, "n_test": 100},
    seeds=6,
    claims=(
        Claim(
            sentence="Digits: support prototypes of two classes are close: mean cosine above .5",
            metric="last_between", of=BOTH, over=BOTH, over_metric="half", data=("digits",),
        ),
        Claim(
            sentence="Digits: they still are after the push",
            metric="pushed_between", of=BOTH, over=BOTH, over_metric="half", data=("digits",),
        ),
        Claim(
            sentence="Digits: trivial prototypes of two classes are apart: mean cosine below .1",
            metric="first_between", of=BOTH, over=BOTH, over_metric="tenth", lower_is_better=True, data=("digits",),
        ),
        Claim(
            sentence="The closeness loss draws them together: .3 closer than those of a plain head",
            metric="last_between", of=BOTH, over=PLAIN_TWO, at_least=0.3,
        ),
        Claim(
            sentence="Prototypes of a class are orthonormal in the trivial branch: mean gap of P P' to 1 below .05",
            metric="first_within", of=BOTH, over=BOTH, over_metric="twentieth", lower_is_better=True,
        ),
        Claim(
            sentence="and in the support branch",
            metric="last_within", of=BOTH, over=BOTH, over_metric="twentieth", lower_is_better=True,
        ),
        Claim(
            sentence="Twenty times the weight makes them so in the support branch",
            metric="last_within", of=ORTHONORMAL, over=ORTHONORMAL, over_metric="twentieth", lower_is_better=True,
        ),
        Claim(
            sentence="Both branches are more accurate than the trivial one alone",
            metric="accuracy", of=BOTH, over=TRIVIAL_ALONE,
        ),
        Claim(
            sentence="and than the support one alone",
            metric="accuracy", of=BOTH, over=SUPPORT_ALONE,
        ),
        Claim(
            sentence="Digits: it is at most a point below logistic regression on pooled patches",
            metric="accuracy", of=BOTH, over=POOLED, at_least=-0.01, data=("digits",),
        ),
        Claim(
            sentence="It is more accurate than an ensemble of two plain heads, which has as many prototypes",
            metric="accuracy", of=BOTH, over=PLAIN_TWO,
        ),
        Claim(
            sentence="The push costs at most two points, the last layer refitted",
            metric="accuracy", of=BOTH, over=BOTH, over_metric="accuracy_before", at_least=-0.02,
        ),
        Claim(
            sentence="Every prototype is the training patch that it names: cosine above .9999",
            metric="patch_cosine", of=BOTH, over=BOTH, over_metric="whole",
        ),
        Claim(
            sentence="Shuffled labels are not learned: .3 less accurate",
            metric="accuracy", of=BOTH, over=CONTROL, at_least=0.3,
        ),
        Claim(
            sentence="Fashion-MNIST: support prototypes of two classes are close: mean cosine above .5",
            metric="last_between", of=BOTH, over=BOTH, over_metric="half", data=("fashion_mnist",),
        ),
        Claim(
            sentence="Fashion-MNIST: trivial prototypes of two classes are apart: mean cosine below .1",
            metric="first_between", of=BOTH, over=BOTH, over_metric="tenth", lower_is_better=True,
            data=("fashion_mnist",),
        ),
        Claim(
            sentence="Fashion-MNIST: it is at most a point below logistic regression on pooled patches",
            metric="accuracy", of=BOTH, over=POOLED, at_least=-0.01, data=("fashion_mnist",),
        ),
    ),
)  # fmt: skip
