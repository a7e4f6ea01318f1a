"""Classes from a knowledge graph: do neighbours in a graph help to tell classes that have no labelled row?

Three graphs. Made: names say little of their classes, ten neighbours more. With --data: clinc150, intents as classes,
whose graph is which domain an intent is of; and wn18rr, the synsets of WordNet with the most hyponyms as classes, whose
rows are the glosses of hyponyms, which are no nodes of the graph. Names and rows go through MiniLM, which may have seen
such texts. A seed draws which half of the classes have rows, which are for choosing, and which are unseen; five rows a
class are kept for the few-shot arms. Names alone are the baseline; every use of the graph stands beside the same on
edges shuffled with their degrees kept. S and U are mean recalls of seen and unseen classes, H their harmonic mean. Bars
are the dossier's (section f), found there on SNIPS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from raypipe.evaluate.claims import Claim
from raypipe.label.graph.class_vectors import GraphNetwork, neighbour_means
from raypipe.label.graph.graph import ClassGraph
from raypipe.label.graph.heads import bilinear, regressed, seen_unseen, synthesised, with_prior
from raypipe.label.graph.splits import ClassSplit
from raypipe.label.label_vectors import at_length_one
from raypipe.runs.trials import Metrics
from raypipe.storage.folder import Folder

from .named_texts import minilm
from .open_data import real
from .study import Study

MOST_EDGES = 30
"""Of a synset, the first in the file: each neighbour's name is embedded."""


@dataclass(frozen=True)
class Classes:
    """A graph, vectors of its nodes' names, the classes' nodes, and rows of each class."""

    graph: ClassGraph
    names: np.ndarray
    """[nodes, d]"""
    nodes: np.ndarray
    """[k]"""
    X: np.ndarray
    """[n, d]"""
    y: np.ndarray
    """[n]"""


def trial(settings: dict[str, Any], seed: int, folder: Folder) -> Metrics:
    """Recall of unseen classes among themselves, S, U and H among all, and accuracy with one and five rows a class."""
    of = _classes(settings["data"], settings["n_classes"], settings["n_rows"], seed)
    graph = of.graph.shuffled(seed) if settings["edges"] == "shuffled" else of.graph
    split = ClassSplit.drawn(len(of.nodes), seen=0.5, dev=0.2, seed=seed)
    rng = np.random.default_rng([seed, 83])
    learned = np.isin(of.y, split.seen) & (rng.random(len(of.y)) < 0.5)
    vectors = _vectors(settings, graph, of, learned)
    scores = _scores(settings, of, vectors, split, learned)
    unseen = np.array(sorted(split.test))
    tested = np.isin(of.y, unseen)
    among = (unseen[scores[tested][:, unseen].argmax(axis=1)] == of.y[tested]).astype(float)
    recall = np.mean([among[of.y[tested] == label].mean() for label in unseen])
    is_seen = np.isin(np.arange(len(of.nodes)), split.seen)
    chosen = _calibration(scores, of, split, is_seen, learned)
    judged = (np.isin(of.y, split.seen) & ~learned) | tested
    allowed = np.isin(np.arange(len(of.nodes)), [*split.seen, *split.test])
    general = seen_unseen(np.where(allowed, scores, -np.inf)[judged], of.y[judged], is_seen, calibration=chosen)
    return {"unseen": float(recall), **general, **_few_shot(settings, of, vectors, seed)}


def _vectors(settings: Mapping[str, Any], graph: ClassGraph, of: Classes, learned: np.ndarray) -> np.ndarray:
    """Class vectors [k, d] as the arm makes them."""
    if settings["vectors"] == "network":
        network = GraphNetwork(
            hidden=settings["hidden"], penalty=settings["penalty"], max_iterations=settings["iterations"]
        )
        return network.fit(graph, of.names, of.X[learned], of.nodes[of.y[learned]]).vectors(graph, of.names, of.nodes)
    return neighbour_means(graph, of.names, of.nodes, own=settings["own"])


def _scores(
    settings: Mapping[str, Any], of: Classes, vectors: np.ndarray, split: ClassSplit, learned: np.ndarray
) -> np.ndarray:
    """How well each row [n] goes with each class [k], by the arm's head."""
    seen = np.array(sorted(split.seen))
    rows, labels = of.X[learned], np.searchsorted(seen, of.y[learned])
    if settings["head"] == "bilinear":
        return np.asarray(of.X @ bilinear(rows, labels, vectors[seen]) @ vectors.T)
    if settings["head"] == "cosine":
        return np.asarray(of.X @ vectors.T)
    means = np.stack([rows[labels == label].mean(axis=0) for label in range(len(seen))])
    if settings["head"] == "ridge":
        return np.asarray(of.X @ at_length_one(regressed(vectors[seen], means, vectors, penalty=0.1)).T)
    made, of_class = synthesised(rows, labels, vectors[seen], vectors, n_each=20)
    centres = np.stack([made[of_class == label].mean(axis=0) for label in range(len(vectors))])
    centres[seen] = means  # real rows where there are some
    return np.asarray(of.X @ at_length_one(centres).T)


def _calibration(scores: np.ndarray, of: Classes, split: ClassSplit, is_seen: np.ndarray, learned: np.ndarray) -> float:
    """What is taken off seen classes' scores so that H of seen and dev classes is highest."""
    rows = (np.isin(of.y, split.seen) & ~learned) | np.isin(of.y, split.dev)
    allowed = np.isin(np.arange(len(of.nodes)), [*split.seen, *split.dev])
    asked = np.where(allowed, scores, -np.inf)[rows]
    spread = float(np.std(scores))
    tried = [spread * share for share in (0.0, 0.25, 0.5, 1.0, 2.0)]
    return max(tried, key=lambda one: seen_unseen(asked, of.y[rows], is_seen, calibration=one)["H"])


def _few_shot(settings: Mapping[str, Any], of: Classes, vectors: np.ndarray, seed: int) -> dict[str, float]:
    """Accuracy of prototypes of one and of five rows a class, with the arm's vectors as a prior and without."""
    rng, found = np.random.default_rng([seed, 84]), {}
    order = rng.permutation(len(of.y))
    rank = np.zeros(len(of.y), int)
    for label in range(len(vectors)):
        own = order[of.y[order] == label]
        rank[own] = np.arange(len(own))
    prior = vectors[rng.permutation(len(vectors))] if settings["prior"] == "permuted" else vectors
    rest = rank >= 5
    for shots in (1, 5):
        given = rank < shots
        means = np.stack([of.X[given & (of.y == label)].mean(axis=0) for label in range(len(vectors))])
        for name, prototypes in (("prior", with_prior(means, shots, prior)), ("alone", means)):
            said = (of.X[rest] @ at_length_one(prototypes).T).argmax(axis=1)
            found[f"{name}_{shots}"] = float((said == of.y[rest]).mean())
    return found


def _classes(data: str, n_classes: int, n_rows: int, seed: int) -> Classes:
    if data == "made":
        return _made(n_classes, n_rows, seed)
    return (_clinc if data == "clinc150" else _wordnet)(n_classes, n_rows)


def _made(k: int, n_rows: int, seed: int) -> Classes:
    """Neighbours' names know a class twice as well together as its own name does."""
    rng, d = np.random.default_rng([seed, 82]), 48
    truth = rng.normal(size=(k, d))
    triples = [(f"c{label:03}", "has", f"c{label:03}-{n}") for label in range(k) for n in range(10)]
    triples += [(f"c{label:03}", "is", "hub") for label in range(k)]
    graph = ClassGraph.of(triples)
    of = np.array([int(name[1:4]) if name != "hub" else -1 for name in graph.names])
    names = np.where(of[:, None] >= 0, truth[of], 0) + 1.7 * rng.normal(size=(len(of), d))
    y = np.repeat(np.arange(k), n_rows)
    X = at_length_one(truth[y] + 1.7 * rng.normal(size=(len(y), d)))
    return Classes(graph, at_length_one(names), graph.numbers([f"c{label:03}" for label in range(k)]), X, y)


@lru_cache(maxsize=1)
def _clinc(k: int, n_rows: int) -> Classes:
    """Intents are classes, and every intent an edge to its domain."""
    import pyarrow.parquet as pq

    rows = [row for row in pq.read_table(real("clinc150") / "full.parquet").to_pylist() if row["domain"] != "oos"]
    intents = sorted({row["intent"] for row in rows})
    chosen = [intents[at] for at in np.random.default_rng(0).permutation(len(intents))[:k]]
    of = {row["intent"]: row["domain"] for row in rows}
    words = {name: name.replace("_", " ") for name in (*intents, *of.values())}
    graph = ClassGraph.of([(words[name], "in", f"the domain of {words[of[name]]}") for name in intents])
    texts, y = _first(rows, "intent", "text", chosen, n_rows)
    return _embedded(graph, graph.names, [words[name] for name in chosen], texts, y)


@lru_cache(maxsize=1)
def _wordnet(k: int, n_rows: int) -> Classes:
    """Synsets with many hyponyms are classes; the hyponyms whose glosses are rows are no nodes."""
    import pyarrow.parquet as pq

    triples = pq.read_table(real("wn18rr") / "train.parquet").to_pylist()
    entities = {row["entity"]: row for row in pq.read_table(real("wn18rr") / "entities.parquet").to_pylist()}
    children: dict[str, list[str]] = {}
    for row in triples:
        if row["relation"] == "_hypernym" and entities[row["head"]]["gloss"]:
            children.setdefault(row["tail"], []).append(row["head"])
    chosen = sorted(sorted(children, key=lambda name: (-len(children[name]), name))[:k])
    rows = [{"class": name, "text": entities[child]["gloss"], "of": child}
            for name in chosen for child in children[name] if child not in chosen]  # fmt: skip
    texts, y = _first(rows, "class", "text", chosen, n_rows)
    used = {row["of"] for row in rows if row["text"] in set(texts)}
    kept = [(row["head"], row["relation"], row["tail"]) for row in triples if not used & {row["head"], row["tail"]}]
    kept = [edge for name in chosen for edge in [one for one in kept if name in (one[0], one[2])][:MOST_EDGES]]
    called = {name: f"{_lemma(one)} ({name})" for name, one in entities.items()}
    graph = ClassGraph.of([(called[a], r, called[b]) for a, r, b in kept])
    spoken = tuple(name.rpartition(" (")[0] for name in graph.names)
    return _embedded(graph, spoken, [called[name] for name in chosen], texts, y)


def _lemma(entity: Mapping[str, Any]) -> str:
    lemmas = entity["lemmas"]
    words = lemmas if isinstance(lemmas, str) else ", ".join(lemmas or [])
    return (words or "thing").replace("_", " ")


def _first(
    rows: list[dict[str, Any]], label: str, text: str, classes: list[str], n: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """The first n different texts of each class, and its place."""
    of = {name: list(dict.fromkeys(row[text] for row in rows if row[label] == name))[:n] for name in classes}
    texts = tuple(one for name in classes for one in of[name])
    return texts, np.repeat(np.arange(len(classes)), [len(of[name]) for name in classes])


def _embedded(
    graph: ClassGraph, spoken: tuple[str, ...], classes: list[str], texts: tuple[str, ...], y: np.ndarray
) -> Classes:
    return Classes(graph, minilm(spoken, 16), graph.numbers(classes), minilm(texts, 24), y)


def _arm(vectors: str = "means", *, own: float = 0.5, **more: Any) -> Mapping[str, Any]:
    return {"vectors": vectors, "own": own, "head": "cosine", "edges": "real", "prior": "own", **more}


NAME, MEANS, WRONG = "names alone", "names and neighbours", "neighbours by shuffled edges"
NETWORK, OTHER = "trained network", "trained network on shuffled edges"
BILINEAR, RIDGE, SYNTHESIS = "bilinear head", "means regressed from the graph", "synthesised rows"
PERMUTED = "vectors of other classes as prior"
REAL = ("clinc150", "wn18rr")
STUDY = Study(
    source="J. Chen et al., Proceedings of the IEEE 2023, arXiv 2112.10006; readme of ZSL-KG; dossier d and f",
    trial=trial,
    arms={
        NAME: _arm(own=1.0),
        MEANS: _arm(),
        WRONG: _arm(edges="shuffled"),
        NETWORK: _arm("network"),
        OTHER: _arm("network", edges="shuffled"),
        BILINEAR: _arm(head="bilinear"),
        RIDGE: _arm(head="ridge"),
        SYNTHESIS: _arm(head="synthesis"),
        PERMUTED: _arm(prior="permuted"),
    },
    control=WRONG,
    more_data=REAL,
    settings={"n_classes": 30, "n_rows": 12, "hidden": 64, "penalty": 0.1, "iterations": 30},
    quick={"n_classes": 12, "n_rows": 8, "hidden": 8, "iterations": 3},
    seeds=6,
    claims=(
        Claim(
            sentence="Made: by real edges unseen classes are told .05 better than by shuffled ones",
            metric="unseen", of=MEANS, over=WRONG, at_least=0.05, data=("made",),
        ),
        Claim(
            sentence="Intents and synsets: by real edges unseen classes are told .05 better than by shuffled ones",
            metric="unseen", of=MEANS, over=WRONG, at_least=0.05, data=REAL,
        ),
        Claim(
            sentence="Intents and synsets: neighbours beside names are better than names alone",
            metric="unseen", of=MEANS, over=NAME, data=REAL,
        ),
        Claim(
            sentence="Intents and synsets: the trained network is better than names alone",
            metric="unseen", of=NETWORK, over=NAME, data=REAL,
        ),
        Claim(
            sentence="Intents and synsets: the trained network is .05 better by real than by shuffled edges",
            metric="unseen", of=NETWORK, over=OTHER, at_least=0.05, data=REAL,
        ),
        Claim(
            sentence="A trained bilinear head has a higher H than cosines to the same vectors",
            metric="H", of=BILINEAR, over=MEANS,
        ),
        Claim(
            sentence="Means regressed from the graph have a higher H than cosines to the same vectors",
            metric="H", of=RIDGE, over=MEANS,
        ),
        Claim(
            sentence="Synthesised rows have a higher H than cosines to the same vectors",
            metric="H", of=SYNTHESIS, over=MEANS,
        ),
        Claim(
            sentence="With one row a class the graph's prior adds .03 to prototypes",
            metric="prior_1", of=MEANS, over=MEANS, over_metric="alone_1", at_least=0.03,
        ),
        Claim(
            sentence="With five rows a class it adds nothing any more: .03",
            metric="prior_5", of=MEANS, over=MEANS, over_metric="alone_5", within=0.03,
        ),
        Claim(
            sentence="With one row a class vectors of other classes take .1 away",
            metric="prior_1", of=MEANS, over=PERMUTED, at_least=0.1,
        ),
        Claim(
            sentence="With one row a class names alone are as good a prior as the graph: .02",
            metric="prior_1", of=MEANS, over=NAME, within=0.02, data=REAL,
        ),
    ),
)  # fmt: skip
