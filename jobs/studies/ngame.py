"""NGAME's batches: like queries stand together, so that a step brings hard negatives without any mining.

A linear map of vectors learns that a query is near the vector of its class's name, among the names of its step; it is
judged by queries that it hasn't seen. `made` has 256 classes in 32 families, hidden in 24 directions of 64; clinc150,
with --data, its 150 intents under all-MiniLM-L6-v2. Bars are the dossier's (section f, checks 1 and 2), written before
any run. Rival: vectors as they are. Ablation: clusters from the first epoch on. Control: clusters of other rows.
Departures: a map of fixed vectors in place of an encoder, so that clusters can't go stale and their cost isn't shown;
the classifiers of the second stage and their fusion aren't tried here.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from raypipe.evaluate.claims import Claim
from raypipe.losses.contrastive import ContrastiveLoss
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder
from raypipe.train.data.clustered import ClusteredBatches, ClusteredOrder, clusters_of

from .study import Study

BATCH, N_HARDEST = 64, 10
FAMILIES, CLASSES = 32, 256


class Queries(NamedTuple):
    """Vectors of length 1 and classes, to learn from and to judge by, and a vector of each class's name."""

    X: np.ndarray
    y: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    names: np.ndarray


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """P@1 at the end and at half of the steps, and how near the ten hardest negatives of a step are at the end."""
    rows = _queries(settings["data"], seed, settings["n_each"])
    if settings["cluster_rows"] is None:
        found = _precision(np.eye(rows.X.shape[1], dtype=np.float32), rows)
        return {"precision_1": found, "half": found, "hardness": 0.0}
    order, n_epochs = _order(settings, rows, seed), settings["n_epochs"]
    maps = _learnt(rows, order, n_epochs)
    return {
        "precision_1": _precision(maps[-1], rows),
        "half": _precision(maps[len(maps) // 2 - 1], rows),
        "hardness": _hardness(rows, order(n_epochs - 1)),
    }


def _order(settings: dict[str, Any], rows: Queries, seed: int) -> ClusteredOrder:
    """Of epochs: clusters double every `doubling` of them."""
    sizes = ClusteredBatches(cluster_rows=settings["cluster_rows"]).sizes
    X = rows.X if settings["clusters"] == "own" else rows.X[np.random.default_rng([seed, 83]).permutation(len(rows.X))]
    clusters = clusters_of(X, sizes[-1:] if settings["at_once"] else sizes, seed=seed)
    if settings["at_once"]:
        clusters = np.concatenate([clusters, clusters])
    return ClusteredOrder(clusters, 1, seed)


def _learnt(rows: Queries, order: ClusteredOrder, n_epochs: int) -> list[np.ndarray]:
    """The map [d, d] after each epoch."""
    import torch

    X, names, loss = torch.from_numpy(rows.X), torch.from_numpy(rows.names), ContrastiveLoss()
    W = torch.eye(X.shape[1], requires_grad=True)
    optimiser, maps = torch.optim.AdamW([W], lr=1e-3, weight_decay=0.01), []
    for epoch in range(n_epochs):
        numbers = order(epoch)
        for start in range(0, len(numbers) - BATCH + 1, BATCH):
            of = numbers[start : start + BATCH]
            same = rows.y[of][:, None] == rows.y[of]
            np.fill_diagonal(same, False)
            vectors = {"queries": X[of] @ W.T, "positives": names[rows.y[of]] @ W.T, "is_none": torch.from_numpy(same)}
            optimiser.zero_grad()
            loss.terms(vectors).mean().backward()
            optimiser.step()
        maps.append(W.detach().numpy().copy())
    return maps


def _precision(W: np.ndarray, rows: Queries) -> float:
    """Share of judged queries whose nearest name is their class's."""
    return float(((rows.test @ W.T @ _unit(rows.names @ W.T).T).argmax(axis=1) == rows.truth).mean())


def _hardness(rows: Queries, order: np.ndarray) -> float:
    """Mean cosine of a query and the ten nearest names of other classes in its step."""
    found = []
    for start in range(0, len(order) - BATCH + 1, BATCH):
        of = order[start : start + BATCH]
        cosines = rows.X[of] @ rows.names[rows.y[of]].T
        cosines[rows.y[of][:, None] == rows.y[of]] = -1
        found.append(np.sort(cosines, axis=1)[:, -N_HARDEST:].mean())
    return float(np.mean(found))


@lru_cache(maxsize=2)
def _queries(data: str, seed: int, n_each: int) -> Queries:
    rng = np.random.default_rng([seed, 81])
    if data == "made":
        return _made(rng, n_each)
    from .kalm_embedding import _clinc

    X, y, names = _clinc()
    rows = [rng.permutation(np.flatnonzero(y == one)) for one in range(len(names))]
    learnt, judged = (np.concatenate([of[part] for of in rows]) for part in (slice(n_each), slice(n_each, 2 * n_each)))
    return Queries(X[learnt], y[learnt], X[judged], y[judged], names)


def _made(rng: np.random.Generator, n_each: int) -> Queries:
    """Classes of a family are near each other; 40 louder directions tell nothing."""
    basis = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    centres = np.repeat(rng.normal(size=(FAMILIES, 24)), CLASSES // FAMILIES, axis=0)
    centres += 0.5 * rng.normal(size=centres.shape)

    def rows(n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
        y = np.repeat(np.arange(CLASSES), n)
        telling = centres[y] + noise * rng.normal(size=(len(y), 24))
        return _unit(np.concatenate([telling, 1.2 * rng.normal(size=(len(y), 40))], axis=1) @ basis), y

    (X, y), (test, truth), (names, _) = rows(n_each, 0.4), rows(n_each, 0.4), rows(1, 0.2)
    return Queries(X, y, test, truth, names)


def _unit(X: np.ndarray) -> np.ndarray:
    return np.asarray(X / np.linalg.norm(X, axis=1, keepdims=True), np.float32)


RANDOM, EIGHT, ALL, AT_ONCE = "random batches", "clusters up to 8", "clusters up to 64", "clusters of 64 at once"
AS_THEY_ARE, CONTROL = "vectors as they are", "clusters of other rows"
STUDY = Study(
    source="K. Dahiya et al., NGAME, WSDM 2023, arXiv 2207.04452, module 1; dossier f, checks 1 and 2",
    trial=trial,
    arms={
        RANDOM: {"cluster_rows": 1, "clusters": "own", "at_once": False},
        EIGHT: {"cluster_rows": 8, "clusters": "own", "at_once": False},
        ALL: {"cluster_rows": 64, "clusters": "own", "at_once": False},
        AT_ONCE: {"cluster_rows": 64, "clusters": "own", "at_once": True},
        AS_THEY_ARE: {"cluster_rows": None, "clusters": "own", "at_once": False},
        CONTROL: {"cluster_rows": 64, "clusters": "others", "at_once": False},
    },
    control=CONTROL,
    data=("made",),
    more_data=("clinc150",),
    settings={"n_each": 20, "n_epochs": 12},
    quick={"n_each": 3, "n_epochs": 2},
    seeds=5,
    more_code=("raypipe.arrays.balanced_clusters", "raypipe.losses.info_nce"),
    claims=(
        Claim(
            sentence="A step's hardest negatives are nearer in clusters of up to 8 than at random",
            metric="hardness", of=EIGHT, over=RANDOM,
        ),
        Claim(
            sentence="and nearer still in clusters of up to 64",
            metric="hardness", of=ALL, over=EIGHT,
        ),
        Claim(
            sentence="After as many epochs P@1 is above that of random batches",
            metric="precision_1", of=ALL, over=RANDOM,
        ),
        Claim(
            sentence="Half of the epochs reach the P@1 that random batches end with",
            metric="half", of=ALL, over=RANDOM, over_metric="precision_1",
        ),
        Claim(
            sentence="Clusters that grow end above clusters that are large from the second epoch on",
            metric="precision_1", of=ALL, over=AT_ONCE,
        ),
        Claim(
            sentence="Random batches are two points above the vectors as they are: there is something to learn",
            metric="precision_1", of=RANDOM, over=AS_THEY_ARE, at_least=0.02,
        ),
        Claim(
            sentence="It is the likeness: clusters of other rows end below",
            metric="precision_1", of=ALL, over=CONTROL,
        ),
    ),
)  # fmt: skip
