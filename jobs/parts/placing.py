"""What labelling functions need of models before they vote: their phrases' vectors, by the texts' own model."""

from dataclasses import fields, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe.corpus.records import read_records
from raypipe.corpus.rows import source_of
from raypipe.embed.embed import Embed
from raypipe.embed.formats import EMBEDDING
from raypipe.embed.template import PLAIN
from raypipe.label.functions.graph import Graph
from raypipe.label.functions.nearest import Nearest
from raypipe.label.functions.prompt import Prompt
from raypipe.label.functions.similarity import Similarity
from raypipe.runs.card import Json, finished_card
from raypipe.storage.folder import Folder

from .labelling import Function, Functions

if TYPE_CHECKING:
    from raypipe.label.graph.graph import ClassGraph


def prompts_of(asked: Functions) -> list[Prompt]:
    """The functions that ask a language model."""
    return [one for one in asked.functions if isinstance(one, Prompt)]


def placed(asked: Functions, run: Folder, *, answers: str) -> Functions:
    """The functions, those of similarity with the vectors of their phrases, prompts with their place in `answers`.

    Encoders run on this machine.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such stage of vectors, or its model is another; with the function's name.
    """
    number, found = count(), list[Function]()
    for one in asked.functions:
        if isinstance(one, Prompt):
            found.append(one.placed(answers, next(number)))
        elif isinstance(one, Graph):
            found.append(_with_classes(one, run))
        else:
            found.append(_with_vectors(one, run) if isinstance(one, Similarity) else one)
    return replace(asked, functions=tuple(found))


def _with_vectors(function: Similarity, run: Folder) -> Similarity:
    op = phrase_embedder(function, finished_card(run, function.column.partition(".")[0])["identity"])
    return function.placed(vectors_of(op, [*function.phrases, *function.against], function.name))


def _with_classes(function: Graph, run: Folder) -> Graph:
    """With the vectors of its classes: of all names only those near a class go through the encoder."""
    from raypipe.label.graph.class_vectors import neighbour_means

    graph = _graph_of(function)
    nodes = graph.numbers([str(node) for node in function.nodes.values()])
    near = [graph.neighbours(int(node), at_most=function.neighbours)[0] for node in nodes]
    needed = np.unique(np.concatenate([nodes, *near]))
    op = phrase_embedder(function, finished_card(run, function.column.partition(".")[0])["identity"])
    vectors = vectors_of(op, [graph.names[one] for one in needed], function.name)
    names = np.zeros((len(graph.names), vectors.shape[1]))
    names[needed] = vectors
    return function.placed(neighbour_means(graph, names, nodes, own=function.own, at_most=function.neighbours))


def _graph_of(function: Graph) -> "ClassGraph":
    """The graph of its file.

    Raises
    ------
    ValueError
        If a row is no triple, or there is no edge; with the function's name.
    """
    from raypipe.label.graph.graph import ClassGraph

    rows = [record.values for record in read_records((function.triples,)) if record.reason is None]
    try:
        return ClassGraph.of([[str(row.get(part, "")) for part in ("head", "relation", "tail")] for row in rows])
    except ValueError as error:
        raise ValueError(f"labelling function {function.name!r}: {function.triples}: {error}") from error


def directions_of(function: Nearest, run: Folder) -> np.ndarray:
    """The mean [k, d] of the vectors of each class's keywords.

    Raises
    ------
    FileNotFoundError, ValueError
        As `placed` does.
    """
    op = phrase_embedder(function, finished_card(run, function.column.partition(".")[0])["identity"])
    words = [(label, word) for label, of in enumerate(function.keywords.values()) for word in of]
    vectors = vectors_of(op, [word for _, word in words], function.name)
    labels = np.array([label for label, _ in words])
    return np.stack([vectors[labels == label].mean(axis=0) for label in range(len(function.keywords))])


def phrase_embedder(function: Similarity | Nearest | Graph, identity: Json) -> Embed:
    """What makes vectors of phrases as a stage of this identity made those of texts; they are queries to its model.

    A prompt of the model's own before documents gives way to its own before queries; any other template stays.

    Raises
    ------
    ValueError
        If the stage isn't one of embed_corpus, its vectors are bits, or the function's model isn't the one it is of.
    """
    called = f"labelling function {function.name!r}"
    if identity.get("op") != "embed" or function.column.partition(".")[2] != EMBEDDING:
        raise ValueError(f"{called}: column must be the vectors of a stage of embed_corpus, got {function.column!r}.")
    if identity["number_format"] == "binary":
        raise ValueError(f"{called}: {function.column} holds bits, which have no cosine; embed as int8 instead.")
    given: dict[str, Any] = {one.name: identity[one.name] for one in fields(Embed) if one.name in identity}
    op = Embed(function.model, **given | {"number_format": "float32"})
    if op.encoder.model.sha256() != identity["model_sha256"]:
        raise ValueError(f"{called}: model must be the one that made {function.column}, got {function.model!r}.")
    if op.template == op.encoder.prompt("document") + PLAIN:
        op = replace(op, template=op.encoder.prompt("query") + PLAIN)
    return op


def vectors_of(op: Embed, phrases: list[str], name: str) -> np.ndarray:
    """Vectors [p, d] of phrases.

    Raises
    ------
    ValueError
        If one has no token of its own, with the function's name.
    """
    from raypipe.contracts.parts import apply

    op.check()
    op.setup(n_threads=1)
    found = apply(op, source_of(phrases))
    if broken := [phrase for phrase, vector in zip(phrases, found[EMBEDDING].to_pylist(), strict=True) if not vector]:
        raise ValueError(f"labelling function {name!r}: no vector can be made of the phrase {broken[0]!r}.")
    return np.array(found[EMBEDDING].to_pylist(), np.float32)
