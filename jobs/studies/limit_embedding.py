"""LIMIT: how many pairs of documents vectors of a few dimensions return, when trained and when constructed.

Vectors are free: no text stands behind them, so that nothing but their dimension and their training is at fault. Bars
are the dossier's (section f, checks 2 to 4): the largest n at 100 % for d = 2 to 6 within 2, a construction that gives
every pair in 4 dimensions, dense relevance harder than random, cyclic and disjoint pairs. What LIMIT says of texts
(BM25 beside an encoder) is in limit_text.
"""

from itertools import combinations
from typing import Any

import numpy as np

from raypipe.evaluate.claims import Claim
from raypipe.evaluate.limit import moment_curve, patterns
from raypipe.evaluate.limit.free_embedding import FreeEmbedding, share_in_first_k
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .study import Study

CRITICAL = {2: 3, 3: 4, 4: 8, 5: 13, 6: 20}
"""Dimensions -> largest n at 100 %, as the dossier measured it with one seed."""
SIZES = (46, 200)
OF_LIMIT = 46
"""Documents of LIMIT-small, of which numbers of documents are given as shares."""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Critical numbers of documents, or the accuracy on one pattern of relevance."""
    free = FreeEmbedding(max_steps=settings["max_steps"])
    if settings["way"] == "critical":
        found = {f"n_{d}": free.critical_n(d, start=n, seed=seed) / OF_LIMIT for d, n in CRITICAL.items()}
        return found | {f"dossier_{d}": n / OF_LIMIT for d, n in CRITICAL.items()}
    if settings["way"] == "curve":
        return _curve()
    relevant = _pattern(settings["pattern"], settings["n_queries"], seed)
    steps = 0 if settings["way"] == "untrained" else settings["max_steps"]
    found = {"accuracy": FreeEmbedding(max_steps=steps).accuracy_of(relevant, settings["d"], seed=seed)}
    return found | {"chance": 2 / relevant.shape[1]}


def _curve() -> Metrics:
    """What the construction in 4 dimensions returns; it draws nothing at random."""
    found = {"n_4": 0.0, "whole": 1.0, "no_margin": 0.0}
    for n in SIZES:
        pairs = np.array([*combinations(range(n), 2)])
        relevant = patterns.relevance(pairs, n_documents=n)
        score = moment_curve.queries(pairs, n=n) @ moment_curve.documents(n).T
        found[f"accuracy_{n}"] = share_in_first_k(score, relevant, k=2)
        found[f"median_margin_{n}"] = float(np.median(moment_curve.margins(score, relevant)))
        found["n_4"] = n / OF_LIMIT if found[f"accuracy_{n}"] == 1 else found["n_4"]
    return found


def _pattern(name: str, n_queries: int, seed: int) -> np.ndarray:
    pairs = {
        "dense": lambda: patterns.dense(n_queries),
        "random": lambda: patterns.random_pairs(n_queries, n_documents=n_queries, seed=seed),
        "cycle": lambda: patterns.cycle(n_queries),
        "disjoint": lambda: patterns.disjoint(n_queries),
    }[name]()
    return patterns.relevance(pairs, n_documents=int(pairs.max()) + 1)


TRAINED, CURVE, UNTRAINED = "trained", "moment curve", "dense, not trained"
DENSE, RANDOM, CYCLE, DISJOINT = "dense", "random", "cycle", "disjoint"
STUDY = Study(
    source="O. Weller et al., arXiv 2508.21038, the free-embedding experiment and the patterns; dossier f, 2 to 4",
    trial=trial,
    arms={
        TRAINED: {"way": "critical"},
        CURVE: {"way": "curve"},
        **{name: {"way": "pattern", "pattern": name} for name in (DENSE, RANDOM, CYCLE, DISJOINT)},
        UNTRAINED: {"way": "untrained", "pattern": DENSE},
    },
    control=UNTRAINED,
    settings={"max_steps": 100_000, "n_queries": 120, "d": 4},
    quick={"max_steps": 60, "n_queries": 15},
    seeds=5,
    more_code=("raypipe.evaluate.limit.moment_curve", "raypipe.evaluate.limit.patterns"),
    claims=(
        *(
            Claim(
                sentence=f"Trained vectors of {d} dimensions return every pair of {n} documents and no more, within 2",
                metric=f"n_{d}", of=TRAINED, over=TRAINED, over_metric=f"dossier_{d}", within=2 / OF_LIMIT,
            )
            for d, n in CRITICAL.items()
        ),
        Claim(
            sentence="In 4 dimensions a construction returns every pair of 30 documents more than training does",
            metric="n_4", of=CURVE, over=TRAINED, at_least=30 / OF_LIMIT,
        ),
        *(
            Claim(
                sentence=f"The construction returns every pair of {n} documents, without one error",
                metric=f"accuracy_{n}", of=CURVE, over=CURVE, over_metric="whole", within=1e-9,
            )
            for n in SIZES
        ),
        *(
            Claim(
                sentence=f"By next to nothing: its median margin over the pairs of {n} documents is below .01",
                metric=f"median_margin_{n}", of=CURVE, over=CURVE, over_metric="no_margin", within=0.01,
            )
            for n in SIZES
        ),
        *(
            Claim(
                sentence=f"Dense relevance is harder for trained vectors than {name} pairs, as many queries each",
                metric="accuracy", of=name, over=DENSE,
            )
            for name in (RANDOM, CYCLE, DISJOINT)
        ),
        Claim(
            sentence="Training finds more than chance in dense relevance: .2 above vectors that aren't trained",
            metric="accuracy", of=DENSE, over=UNTRAINED, at_least=0.2,
        ),
        Claim(
            sentence="Vectors that aren't trained are at chance, within .1",
            metric="accuracy", of=UNTRAINED, over=UNTRAINED, over_metric="chance", within=0.1,
        ),
    ),
)  # fmt: skip
