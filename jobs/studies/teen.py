"""TEEN: new classes from one or five examples, drawn towards the base classes that they resemble, without training.

Six base and four new classes of images; features are the pixels, or the hidden layer of a network that was trained on
the base classes alone. Bars are the dossier's (section f): fewer new rows called base as alpha grows to .3, two points
of harmonic mean with one example, within a point of the plain means with five. Rivals: plain cosine means (alpha 0) and
a logistic regression that is trained anew on all base rows. Ablations: limits of tau, the mixture not brought to length
1. Control: the same shift, towards base classes at random.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from raypipe.classify.teen import TEEN, SessionAccuracy, base_weights, chosen, session_accuracy, to_length_one
from raypipe.evaluate.claims import Claim
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import images
from .study import Study

N_NEW = 4
Rows = tuple[np.ndarray, np.ndarray]


class _Elsewhere(TEEN):
    """The control: weights of each new class dealt out to base classes at random."""

    @property
    def prototypes_(self) -> np.ndarray:
        units, is_base = to_length_one(self.sums_ / self.counts_[:, None]), self.is_base_
        base, new = units[is_base], units[~is_base]
        weights = np.random.default_rng(0).permuted(base_weights(new, base, tau=self.tau), axis=1)
        units[~is_base] = (1 - self.alpha) * new + self.alpha * to_length_one(weights @ base)
        return units


class _Short(TEEN):
    """An ablation: the mixture of base prototypes keeps its length."""

    @property
    def prototypes_(self) -> np.ndarray:
        units, is_base = to_length_one(self.sums_ / self.counts_[:, None]), self.is_base_
        base, new = units[is_base], units[~is_base]
        units[~is_base] = (1 - self.alpha) * new + self.alpha * base_weights(new, base, tau=self.tau) @ base
        return units


KINDS = {"teen": TEEN, "elsewhere": _Elsewhere, "short": _Short}


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy of base and new classes, their harmonic mean and the share called base, by features and shots."""
    metrics = {}
    for features in ("pixels", "hidden"):
        for n_shots in (1, 5):
            base, shots, test = _rows(settings["data"], seed, features, n_shots, settings["n_base_rows"])
            found = _told(settings, base, shots, test, n_shots, seed)
            for name in ("base", "new", "harmonic", "new_called_base"):
                metrics[f"{features}_{n_shots}_{name}"] = getattr(found, name)
    return metrics


@lru_cache(maxsize=8)
def _rows(data: str, seed: int, features: str, n_shots: int, n_base_rows: int) -> tuple[Rows, Rows, Rows]:
    """Base rows, shots of new classes, and rows of all classes to test on."""
    X, y = _images(data)
    rng = np.random.default_rng([seed, 33])
    new = rng.choice(np.unique(y), N_NEW, replace=False)
    order = rng.permutation(len(y))
    is_new = np.isin(y, new)[order]
    base = order[~is_new][:n_base_rows]
    pools = [order[y[order] == name] for name in new]
    shots = np.concatenate([pool[:n_shots] for pool in pools])
    tests = np.concatenate([order[~is_new][n_base_rows : n_base_rows + 600], *(pool[5:105] for pool in pools)])
    if features == "hidden":
        X = _hidden(data, seed, base.tobytes())
    return (X[base], y[base]), (X[shots], y[shots]), (X[tests], y[tests])


@lru_cache(maxsize=2)
def _images(data: str) -> Rows:
    return images(data)


@lru_cache(maxsize=2)
def _hidden(data: str, seed: int, base: bytes) -> np.ndarray:
    """Activations [n, 64] of a network of one hidden layer that has learned the base rows."""
    X, y = _images(data)
    rows = np.frombuffer(base, np.int64)
    network = MLPClassifier((64,), max_iter=100, random_state=seed).fit(X[rows], y[rows])
    found: np.ndarray = np.maximum(X @ network.coefs_[0] + network.intercepts_[0], 0)
    return found


def _told(
    settings: dict[str, Any], base: Rows, shots: Rows, test: Rows, n_shots: int, seed: int
) -> SessionAccuracy:  # fmt: skip
    if settings["kind"] == "logistic regression":
        return _retrained(base, shots, test)
    if settings["kind"] == "chosen":
        model = chosen(*base, n_shots=n_shots, n_draws=settings["n_draws"], random_state=seed)
    else:
        model = KINDS[settings["kind"]](alpha=settings["alpha"], tau=settings["tau"])
    return session_accuracy(model.fit(*base).add_classes(*shots), *test)


def _retrained(base: Rows, shots: Rows, test: Rows) -> SessionAccuracy:
    """The rival that keeps all base rows and trains again, classes weighted alike."""
    X, y = (np.concatenate(both) for both in zip(base, shots, strict=True))
    found = LogisticRegression(class_weight="balanced", max_iter=300).fit(X, y).predict(test[0])
    of_base, right = np.isin(test[1], base[1]), found == test[1]
    old, new = float(right[of_base].mean()), float(right[~of_base].mean())
    called = float(np.isin(found[~of_base], base[1]).mean())
    return SessionAccuracy(old, new, 2 * old * new / max(old + new, 1e-12), called)


PLAIN, CALIBRATED, CONTROL = "plain means, alpha 0", "alpha .3", "alpha .3 towards base classes at random"
STUDY = Study(
    source="Q.-W. Wang et al., NeurIPS 2023, arXiv 2312.05229, section 4; dossier f, checks 1 and 2",
    trial=trial,
    arms={
        PLAIN: {"kind": "teen", "alpha": 0.0, "tau": 16.0},
        "alpha .1": {"kind": "teen", "alpha": 0.1, "tau": 16.0},
        CALIBRATED: {"kind": "teen", "alpha": 0.3, "tau": 16.0},
        "alpha .5": {"kind": "teen", "alpha": 0.5, "tau": 16.0},
        "chosen on base classes": {"kind": "chosen"},
        "alpha .3, all base classes alike": {"kind": "teen", "alpha": 0.3, "tau": 1e-9},
        "alpha .3, the nearest base class alone": {"kind": "teen", "alpha": 0.3, "tau": 1e6},
        "alpha .3, mixture not of length 1": {"kind": "short", "alpha": 0.3, "tau": 16.0},
        "logistic regression on all rows": {"kind": "logistic regression"},
        CONTROL: {"kind": "elsewhere", "alpha": 0.3, "tau": 16.0},
    },
    control=CONTROL,
    data=("digits",),
    more_data=("fashion_mnist",),
    settings={"n_base_rows": 480, "n_draws": 5},
    quick={"n_draws": 1},
    seeds=20,
    claims=(
        Claim(
            sentence="Five examples, pixels: fewer new rows are called base at alpha .1 than at 0",
            metric="pixels_5_new_called_base", of="alpha .1", over=PLAIN, lower_is_better=True,
        ),
        Claim(
            sentence="and fewer at .3 than at .1",
            metric="pixels_5_new_called_base", of=CALIBRATED, over="alpha .1", lower_is_better=True,
        ),
        Claim(
            sentence="One example, hidden layer: fewer new rows are called base at alpha .3 than at 0",
            metric="hidden_1_new_called_base", of=CALIBRATED, over=PLAIN, lower_is_better=True,
        ),
        Claim(
            sentence="One example, hidden layer: the harmonic mean rises by two points at alpha .3",
            metric="hidden_1_harmonic", of=CALIBRATED, over=PLAIN, at_least=0.02,
        ),
        Claim(
            sentence="Five examples, hidden layer: the harmonic mean stays within a point at alpha .3",
            metric="hidden_5_harmonic", of=CALIBRATED, over=PLAIN, within=0.01,
        ),
        Claim(
            sentence="Old classes are kept: base accuracy at alpha .3 falls by less than two points (five examples)",
            metric="hidden_5_base", of=CALIBRATED, over=PLAIN, at_least=-0.02,
        ),
        Claim(
            sentence="Settings chosen on held-out base classes are better than alpha 0 with one example",
            metric="hidden_1_harmonic", of="chosen on base classes", over=PLAIN,
        ),
        Claim(
            sentence="It matters which base classes lend: better than base classes at random, one example",
            metric="hidden_1_harmonic", of=CALIBRATED, over=CONTROL,
        ),
        Claim(
            sentence="Similar base classes lend better than all alike (tau to 0), one example",
            metric="hidden_1_harmonic", of=CALIBRATED, over="alpha .3, all base classes alike",
        ),
        Claim(
            sentence="A mixture of length 1 shifts more: fewer new rows called base than without",
            metric="hidden_1_new_called_base", of=CALIBRATED, over="alpha .3, mixture not of length 1",
            lower_is_better=True,
        ),
        Claim(
            sentence="With one example it is better than a logistic regression trained anew on all rows",
            metric="hidden_1_harmonic", of=CALIBRATED, over="logistic regression on all rows",
        ),
        Claim(
            sentence="and with five examples too",
            metric="hidden_5_harmonic", of=CALIBRATED, over="logistic regression on all rows",
        ),
        Claim(
            sentence="On Fashion-MNIST, one example, hidden layer: the harmonic mean rises by two points at alpha .3",
            metric="hidden_1_harmonic", of=CALIBRATED, over=PLAIN, at_least=0.02, data=("fashion_mnist",),
        ),
    ),
)  # fmt: skip
