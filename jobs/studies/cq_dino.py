"""CQ-DINO's category queries: rare classes among 20, 200 and 2,000, told among the K likeliest or among all.

Rows stand around unit vectors, 5 of each class of the rare half and 50 of the common half; a class's name is its
vector with noise. Bars are the dossier's (section f): 50 points more of the rare classes' recall with 2,000 classes, 3
with 200, none lost with 20. Rivals: the nearest name, without training; a sigmoid over all classes. Ablation: a
selector that learns by the asymmetric loss. Control: names of other classes. With --data descriptions of Debian
packages, of many tags each among 585, told by TF-IDF and the tags' names.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from raypipe.classify.category_queries import CategoryQueries, nearest_name
from raypipe.evaluate.claims import Claim
from raypipe.fitting.names import name_vectors
from raypipe.fitting.words import WordVectors
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .open_data import real
from .study import Study

SIZES = {"2000 classes": (2000, 100), "200 classes": (200, 20), "20 classes": (20, 10)}
"""Classes and K."""
TAGS_KEPT = 50
RARE_TAG = 50
"""Rows below which a tag is rare."""


class TailRows(NamedTuple):
    """To learn from, to test, and vectors of names."""

    X: np.ndarray
    labels: list[list[int]]
    test: np.ndarray
    truth: list[list[int]]
    names: np.ndarray
    is_rare: np.ndarray
    """[C]"""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Recall of rare and common classes by the first answer, recall of the kept, the first gradient ratio."""
    is_made = settings["data"] in SIZES
    rows = _made(settings["data"], seed, settings["shrink"]) if is_made else _debtags(seed)
    n_kept = _kept(settings)
    names = rows.names[np.random.default_rng([seed, 66]).permutation(len(rows.names))]
    names = names if settings["names"] == "others" else rows.names
    by_name = dict(enumerate(names))
    if settings["n_kept"] == 0:  # nothing is trained
        return _recalls(rows, nearest_name(rows.test, by_name), None)
    model = CategoryQueries(
        n_kept=len(names) if settings["n_kept"] == "all" else n_kept, guide=settings["guide"],
        n_steps=settings["n_steps"], random_state=seed,
    ).fit_many(rows.X, rows.labels, names=by_name)  # fmt: skip
    found = _recalls(rows, np.asarray(model.predict(rows.test)), model.kept(rows.test))
    return found | {"gradient_ratio": float(np.nanmean(model.gradient_ratio_))}


def _kept(settings: dict[str, Any]) -> int:
    return max(2, SIZES[settings["data"]][1] // settings["shrink"]) if settings["data"] in SIZES else TAGS_KEPT


def _recalls(rows: TailRows, said: np.ndarray, kept: np.ndarray | None) -> dict[str, float]:
    """The first answer's accuracy; shares of labels of rare and common classes that it is, and that are kept."""
    row = np.repeat(np.arange(len(rows.truth)), [len(of) for of in rows.truth])
    label = np.array([one for of in rows.truth for one in of])
    is_said, is_rare = said[row] == label, rows.is_rare[label]
    right = np.bincount(row, is_said, len(rows.truth)) > 0
    found = {
        "accuracy": float(right.mean()),
        "rare": float(is_said[is_rare].mean()),
        "common": float(is_said[~is_rare].mean()),
    }
    if kept is None:
        return found
    is_kept = (kept[row] == label[:, None]).any(axis=1)
    any_kept = np.bincount(row, is_kept, len(rows.truth)) > 0
    assert not right[~any_kept].any()  # what isn't kept can't be answered
    return found | {"rare_kept": float(is_kept[is_rare].mean()), "kept": float(any_kept.mean())}


@lru_cache(maxsize=1)
def _made(data: str, seed: int, shrink: int) -> TailRows:
    n, d = max(4, SIZES[data][0] // shrink), 64
    rng = np.random.default_rng([seed, 68])
    centres = rng.normal(size=(n, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    is_rare = np.arange(n) < n // 2
    y, truth = np.repeat(np.arange(n), np.where(is_rare, 5, 50)), np.repeat(np.arange(n), 5)
    X, test = (centres[of] + 0.9 / np.sqrt(d) * rng.normal(size=(len(of), d)) for of in (y, truth))
    names = centres + rng.normal(size=(n, d)) / np.sqrt(d)
    return TailRows(X, y[:, None].tolist(), test, truth[:, None].tolist(), names, is_rare)


@lru_cache(maxsize=1)
def _debtags(seed: int) -> TailRows:
    """3,000 packages to learn from, drawn by the seed, and 1,000 to test, on 128 axes; those without a tag left out."""
    import pyarrow.parquet as pq

    rng, parts = np.random.default_rng([seed, 69]), []
    for name, n in (("train", 3000), ("test", 1000)):
        table = pq.read_table(real("debtags_xc") / f"{name}.parquet")
        table = table.filter(pa.array([bool(of) for of in table["label_ids"].to_pylist()]))
        parts.append(table.take(rng.permutation(len(table))[:n]))
    feed = WordVectors(("text",), n_dimensions=128).fit(parts[0])
    tags = pq.read_table(real("debtags_xc") / "labels.parquet").sort_by("label_id")
    (X, _), (test, _) = (feed.encode(part) for part in parts)
    names = name_vectors(feed, tags["label"].to_pylist())
    labels, truth = (part["label_ids"].to_pylist() for part in parts)
    counts = np.bincount([one for of in labels for one in of], minlength=len(tags))
    return TailRows(X, labels, test, truth, np.stack(list(names.values())), counts < RARE_TAG)


QUERIES, ALL, NEAREST = "category queries", "sigmoid over all", "nearest name"
LEARNED, CONTROL = "selector learned", "names of other classes"
STUDY = Study(
    source="Z. Sun et al., CQ-DINO, NeurIPS 2025, arXiv 2503.18430: gradient analysis, selection; dossier f",
    trial=trial,
    arms={
        QUERIES: {"n_kept": "K", "guide": "vectors", "names": "own"},
        ALL: {"n_kept": "all", "guide": "vectors", "names": "own"},
        NEAREST: {"n_kept": 0, "guide": "vectors", "names": "own"},
        LEARNED: {"n_kept": "K", "guide": "rows", "names": "own"},
        CONTROL: {"n_kept": "K", "guide": "vectors", "names": "others"},
    },
    control=CONTROL,
    data=tuple(SIZES),
    more_data=("debtags_xc",),
    settings={"n_steps": 400, "shrink": 1},
    quick={"n_steps": 4, "shrink": 20},
    seeds=3,
    more_code=("raypipe.classify.category_training", "raypipe.classify.asymmetric_loss"),
    claims=(
        Claim(
            sentence="2,000 classes: among 100 kept, rare classes are found 50 points more often than over all",
            metric="rare", of=QUERIES, over=ALL, at_least=0.5, data=("2000 classes",),
        ),
        Claim(
            sentence="200 classes: among 20 kept, 3 points more often",
            metric="rare", of=QUERIES, over=ALL, at_least=0.03, data=("200 classes",),
        ),
        Claim(
            sentence="20 classes: nothing is lost or won, within 2 points",
            metric="rare", of=QUERIES, over=ALL, within=0.02, data=("20 classes",),
        ),
        Claim(
            sentence="2,000 classes: common classes lose less than 2 points by it",
            metric="common", of=QUERIES, over=ALL, within=0.02, data=("2000 classes",),
        ),
        Claim(
            sentence="2,000 classes: the nearest name, untrained, is better still on rare classes",
            metric="rare", of=NEAREST, over=QUERIES, data=("2000 classes",),
        ),
        Claim(
            sentence="2,000 classes: and worse on common ones",
            metric="common", of=QUERIES, over=NEAREST, data=("2000 classes",),
        ),
        Claim(
            sentence="Positives weigh more against negatives: 2,000 classes",
            metric="gradient_ratio", of=QUERIES, over=ALL, data=("2000 classes",),
        ),
        Claim(
            sentence="A selector that learns keeps no fewer of the right classes, within 2 points: 200 classes",
            metric="rare_kept", of=LEARNED, over=QUERIES, within=0.02, data=("200 classes",),
        ),
        Claim(
            sentence="The names teach it: with names of other classes rare ones are found less, by 20 points (2,000)",
            metric="rare", of=QUERIES, over=CONTROL, at_least=0.2, data=("2000 classes",),
        ),
        Claim(
            sentence="Debian's tags, many a row: rare tags stand first more often than over all",
            metric="rare", of=QUERIES, over=ALL, data=("debtags_xc",),
        ),
        Claim(
            sentence="Debian's tags: the first answer is right more often than by the nearest name, by 10 points",
            metric="accuracy", of=QUERIES, over=NEAREST, at_least=0.1, data=("debtags_xc",),
        ),
    ),
)  # fmt: skip
