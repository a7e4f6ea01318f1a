"""Open-set recognition: a good closed-set classifier, and how well its logits tell classes that it never saw.

Classes are drawn as known or unknown by the seed; heads of several qualities are trained on known rows alone, and every
choice, the threshold too, rests on known rows. Digits are pixels, the sample's documents and clinc150's questions are
words (TF-IDF brought to few axes by known training rows). clinc150's unknown rows are those that it has out of scope;
its `near` ones, of no claim, are of the intents that were withheld. Bars are the dossier's (section f), whose splits of
digits are not used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import sample
from raypipe.classify.nearest_centroid import NearestCentroid
from raypipe.classify.open_set import SCORERS, OpenSetHead
from raypipe.evaluate.auroc import auroc
from raypipe.evaluate.claims import Claim
from raypipe.evaluate.oscr import familiarity_threshold, oscr
from raypipe.fitting.words import WordVectors
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import real, vectors
from .study import Study

OOS = "oos"
QUALITIES = ((4, 3, 60), (8, 10, 100), (16, 15, 100), (32, 40, 200), (64, 60, 300), (128, 100, 10_000))
"""Hidden units, epochs and training rows of heads from poor to good."""


@dataclass(frozen=True)
class Parts:
    """Vectors of one split of classes: rows to train on, to choose the threshold on, and to test on."""

    train: np.ndarray
    y_train: np.ndarray
    choose: np.ndarray
    test: np.ndarray
    y_test: np.ndarray
    unknown: np.ndarray
    near: np.ndarray
    """Unknown rows that are like the known ones; may be empty."""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Accuracy on known classes, AUROC and OSCR of each scorer against the unknown ones; of several heads r."""
    parts = _parts(settings, seed)
    if settings["head"] == "several":
        return {"correlation": _correlation(parts, settings, seed), "nothing": 0.0}
    rng = np.random.default_rng([seed, 1])
    rows = rng.permutation(len(parts.train))[: settings["train_rows"]]
    X, y = parts.train[rows], parts.y_train[rows]
    if settings["head"] == "centroid":
        model: Any = NearestCentroid().fit(X, y)
        scores = dict.fromkeys(SCORERS, model.score_samples)
    else:
        model = _head(settings["hidden"], settings["epochs"], seed).fit(X, y)
        scores = {name: (lambda rows, of=of: of(model.logits(rows))) for name, of in SCORERS.items()}
    if settings["head"] == "random":
        scores = {name: (lambda rows: rng.random(len(rows))) for name in SCORERS}
    return _metrics(parts, model.predict(parts.test) == parts.y_test, scores)


def _metrics(parts: Parts, is_right: np.ndarray, scores: Mapping[str, Any]) -> Metrics:
    found = {"accuracy": float(is_right.mean()), "half": 0.5, "asked": 0.95}
    for name, score in scores.items():
        key, known, unknown = name.replace("-", "_"), score(parts.test), score(parts.unknown)
        found[key] = _area(known, unknown)
        found[f"{key}_oscr"] = oscr(known, is_right, unknown)
        if found[f"{key}_oscr"] > found["accuracy"] + 1e-12:
            raise RuntimeError(f"OSCR must be at most the accuracy, got {found}.")
        if len(parts.near):
            found[f"{key}_near"] = _area(known, score(parts.near))
    chosen = familiarity_threshold(scores["max-logit"](parts.choose), keep=found["asked"])
    found["kept"] = float((scores["max-logit"](parts.test) >= chosen).mean())
    return found


def _correlation(parts: Parts, settings: Mapping[str, Any], seed: int) -> float:
    """Pearson's, of closed-set accuracy and AUROC of the largest logit, over heads from poor to good."""
    pairs = []
    for hidden, epochs, n in QUALITIES:
        rows = np.random.default_rng([seed, 2, n]).permutation(len(parts.train))[:n]
        head = _head(hidden, min(epochs, settings["epochs"]), seed).fit(parts.train[rows], parts.y_train[rows])
        scores = head.score_samples(parts.test), head.score_samples(parts.unknown)
        pairs.append(((head.predict(parts.test) == parts.y_test).mean(), _area(*scores)))
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


def _head(hidden: int, epochs: int, seed: int) -> OpenSetHead:
    return OpenSetHead(hidden=hidden, max_epochs=epochs, random_state=seed)


def _area(known: np.ndarray, unknown: np.ndarray) -> float:
    return auroc(np.concatenate([known, unknown]), np.arange(len(known) + len(unknown)) < len(known)).auroc


def _parts(settings: Mapping[str, Any], seed: int) -> Parts:
    """Known classes, and their rows to train on, to choose on and to test on, by the seed alone."""
    rows, labels = _rows(settings["data"])
    rng = np.random.default_rng([seed, 0])
    names = np.array(sorted(set(labels) - {OOS}))
    known_names = rng.permutation(names)[: settings["n_known"][settings["data"]]]
    is_known = np.isin(labels, known_names)
    known = rng.permutation(np.flatnonzero(is_known))[: settings["max_rows"]]
    others = rng.permutation(np.flatnonzero(~is_known))
    far = others[labels[others] == OOS][: settings["max_rows"]] if OOS in labels else others
    near = others[labels[others] != OOS][: settings["max_rows"]] if OOS in labels else others[:0]
    train, choose, test = np.split(known, [int(0.5 * len(known)), int(0.65 * len(known))])
    X = _encoded(rows, train, settings)
    return Parts(X[train], labels[train], X[choose], X[test], labels[test], X[far], X[near])


def _encoded(rows: Any, train: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Pixels as they are; texts as vectors of words, which the training rows alone have taught."""
    if isinstance(rows, np.ndarray):
        return rows
    feed = WordVectors(("text",), n_dimensions=settings["dimensions"], n_hashes=1 << 12)
    feed.fit(pa.table({"text": [rows[at] for at in train]}))
    return feed.encode(pa.table({"text": rows}))[0]


@lru_cache(maxsize=2)
def _rows(name: str) -> tuple[Any, np.ndarray]:
    """Pixels [n, d], or texts, and classes [n] as texts."""
    if name == "digits":
        X, y = vectors(name)
        return X / 16, y.astype(str)
    if name == "sample":
        files = sorted(sample.corpus_folder().glob("*.jsonl"))
        found = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
        return [one["text"] for one in found], np.array([one["domain"] for one in found])
    table = pq.read_table(real(name) / "full.parquet", columns=["text", "intent"])
    return table["text"].to_pylist(), np.array(table["intent"].to_pylist())


GOOD, POOR, LINEAR, RIVAL = "good head", "poor head", "linear head", "nearest centroid"
SEVERAL, RANDOM = "heads of six qualities", "random scores"
STUDY = Study(
    source="S. Vaze et al., ICLR 2022, arXiv 2110.06207, sections 3 and 4; dossier f",
    trial=trial,
    arms={
        GOOD: {"head": "own", "hidden": 128, "epochs": 100, "train_rows": 100_000},
        POOR: {"head": "own", "hidden": 16, "epochs": 15, "train_rows": 60},
        LINEAR: {"head": "own", "hidden": 0, "epochs": 100, "train_rows": 100_000},
        RIVAL: {"head": "centroid", "hidden": 0, "epochs": 0, "train_rows": 100_000},
        SEVERAL: {"head": "several", "hidden": 0, "epochs": 100, "train_rows": 100_000},
        RANDOM: {"head": "random", "hidden": 0, "epochs": 100, "train_rows": 100_000},
    },
    control=RANDOM,
    data=("digits", "sample"),
    more_data=("clinc150",),
    settings={"n_known": {"digits": 6, "sample": 5, "clinc150": 30}, "max_rows": 1500, "dimensions": 64},
    quick={"max_rows": 250, "dimensions": 8},
    seeds=10,
    more_code=("raypipe.arrays.ranks", "raypipe.evaluate.task_means"),
    claims=(
        Claim(
            sentence="Closed-set accuracy and AUROC go together over heads: r above .8",
            metric="correlation", of=SEVERAL, over=SEVERAL, over_metric="nothing", at_least=0.8,
        ),
        Claim(
            sentence="A better closed-set classifier tells unknown classes better: AUROC of the largest logit",
            metric="max_logit", of=GOOD, over=POOR,
        ),
        Claim(
            sentence="A better closed-set classifier has the better OSCR",
            metric="max_logit_oscr", of=GOOD, over=POOR,
        ),
        Claim(
            sentence="The largest logit and the largest probability differ by less than .03 in AUROC",
            metric="max_logit", of=GOOD, over=GOOD, over_metric="max_probability", within=0.03,
        ),
        Claim(
            sentence="The largest logit tells more than the largest probability (the paper's, on deep features)",
            metric="max_logit", of=GOOD, over=GOOD, over_metric="max_probability",
        ),
        Claim(
            sentence="The energy and the largest logit differ by less than .03 in AUROC",
            metric="energy", of=GOOD, over=GOOD, over_metric="max_logit", within=0.03,
        ),
        Claim(
            sentence="The good head's largest logit tells more than the distance to the nearest class mean",
            metric="max_logit", of=GOOD, over=RIVAL,
        ),
        Claim(
            sentence="The hidden layer pays: the good head tells more than a linear one",
            metric="max_logit", of=GOOD, over=LINEAR,
        ),
        Claim(
            sentence="A threshold chosen on known rows keeps 95 % of other known rows, within 3 points",
            metric="kept", of=GOOD, over=GOOD, over_metric="asked", within=0.03,
        ),
        Claim(
            sentence="Random scores tell nothing: AUROC .5 within .02",
            metric="max_logit", of=RANDOM, over=RANDOM, over_metric="half", within=0.02, data=("digits",),
        ),
        Claim(
            sentence="The good head's largest logit tells more than random scores, by .2",
            metric="max_logit", of=GOOD, over=RANDOM, at_least=0.2,
        ),
    ),
)  # fmt: skip
