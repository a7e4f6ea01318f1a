"""Graphs of classes: neighbours against hubs, layers beside the dense formula, and what edges are worth."""

import numpy as np
import pytest

from raypipe.label.graph.class_vectors import GraphNetwork, _Given, hidden_layer, neighbour_means
from raypipe.label.graph.graph import ClassGraph
from raypipe.label.label_vectors import at_length_one

TRIPLES = [("a", "is", "hub"), ("b", "is", "hub"), ("c", "is", "hub"), ("hub", "is", "d"), ("a", "has", "x"),
           ("a", "is", "hub"), ("x", "has", "a"), ("a", "is", "a"), ("e", "near", "f")]  # fmt: skip
RNG = np.random.default_rng(0)


def planted(seed: int, *, n_classes: int = 24, d: int = 16) -> tuple[ClassGraph, np.ndarray, np.ndarray, np.ndarray]:
    """Classes whose names say little and whose ten attributes, shared with nobody, say more; rows of each class."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_classes, d))
    triples = [(f"c{label:02}", "has", f"c{label:02}-{n}") for label in range(n_classes) for n in range(10)]
    graph = ClassGraph.of(triples)
    of = np.array([int(name[1:3]) for name in graph.names])
    names = truth[of] + 2.0 * rng.normal(size=(len(of), d))
    nodes = graph.numbers([f"c{label:02}" for label in range(n_classes)])
    y = np.repeat(np.arange(n_classes), 20)
    return graph, names, nodes, truth[y] + 0.8 * rng.normal(size=(len(y), d))


def accuracy(X: np.ndarray, vectors: np.ndarray) -> float:
    y = np.repeat(np.arange(len(vectors)), 20)
    return float(((at_length_one(X) @ vectors.T).argmax(axis=1) == y).mean())


def test_triples_become_edges_once_without_loops() -> None:
    graph = ClassGraph.of(TRIPLES)
    assert graph.names == ("a", "b", "c", "d", "e", "f", "hub", "x")
    assert graph.edges.tolist() == [[0, 6], [0, 7], [1, 6], [2, 6], [3, 6], [4, 5]]
    assert graph.adjacency.sum(axis=1).tolist() == [2, 1, 1, 1, 1, 1, 4, 1]


def test_a_neighbour_of_few_is_ranked_above_a_hub() -> None:
    graph = ClassGraph.of(TRIPLES)
    near, weights = graph.neighbours(0, at_most=10)
    assert [graph.names[one] for one in near] == ["x", "b", "c", "d", "hub"]
    np.testing.assert_allclose(weights, [0.5, 0.125, 0.125, 0.125, 0.125])  # hits of one and two steps over degree
    assert [graph.names[one] for one in graph.neighbours(0, at_most=2)[0]] == ["x", "b"]


def test_a_layer_is_the_dense_formula() -> None:
    graph = ClassGraph.of(TRIPLES)
    X, W = RNG.normal(size=(8, 5)), RNG.normal(size=(5, 3))
    looped = graph.adjacency.toarray() + np.eye(8)
    dense = np.maximum(np.diag(1 / looped.sum(axis=1)) @ looped @ X @ W, 0)
    np.testing.assert_allclose(hidden_layer(graph.propagation(), X, W), dense, atol=1e-10)


def test_without_edges_the_network_is_one_on_names_alone() -> None:
    graph = ClassGraph(("a", "b", "c"), np.empty((0, 2), int))
    X, W = RNG.normal(size=(3, 5)), RNG.normal(size=(5, 4))
    np.testing.assert_array_equal(hidden_layer(graph.propagation(), X, W), np.maximum(X @ W, 0))
    np.testing.assert_allclose(neighbour_means(graph, X, np.arange(3)), at_length_one(X), atol=1e-12)


def test_the_order_of_nodes_changes_nothing() -> None:
    graph, names, nodes, X = planted(0, n_classes=6)
    order = np.random.default_rng(1).permutation(len(names))
    place = np.argsort(order)
    other = ClassGraph(tuple(graph.names[one] for one in order), place[graph.edges])
    y = np.repeat(np.arange(6), 20)
    for of in (
        lambda g, v, n: neighbour_means(g, v, n),
        lambda g, v, n: GraphNetwork(hidden=4, max_iterations=5).fit(g, v, X, n[y]).vectors(g, v, n),
    ):
        np.testing.assert_allclose(of(other, names[order], place[nodes]), of(graph, names, nodes), atol=1e-6)


def test_neighbours_help_by_real_edges_and_not_by_shuffled_ones() -> None:
    graph, names, nodes, X = planted(2)
    of_name = accuracy(X, neighbour_means(graph, names, nodes, own=1.0))
    real = accuracy(X, neighbour_means(graph, names, nodes))
    shuffled = accuracy(X, neighbour_means(graph.shuffled(0), names, nodes))
    assert real > of_name + 0.2
    assert real > shuffled + 0.2


def test_shuffling_keeps_every_degree() -> None:
    graph, *_ = planted(0)
    other = graph.shuffled(3)
    np.testing.assert_array_equal(other.adjacency.sum(axis=1), graph.adjacency.sum(axis=1))
    same = {tuple(edge) for edge in graph.edges.tolist()} & {tuple(edge) for edge in other.edges.tolist()}
    assert len(same) < 0.2 * len(graph.edges)
    assert (graph.shuffled(3).edges == other.edges).all()


def test_the_network_s_gradient_is_that_of_its_objective() -> None:
    graph, names, nodes, X = planted(0, n_classes=3, d=6)
    spread = graph.propagation()
    given = _Given(spread @ names, spread[nodes], names[nodes], at_length_one(X), np.repeat(np.arange(3), 20))
    flat = RNG.normal(size=2 * 6 * 4)
    start = RNG.normal(size=48)
    _, slope = given.objective(flat, start, 4, 0.1)
    for at in range(0, 48, 7):
        step = np.zeros(48)
        step[at] = 1e-6
        rise = given.objective(flat + step, start, 4, 0.1)[0] - given.objective(flat - step, start, 4, 0.1)[0]
        assert slope[at] == pytest.approx(rise / 2e-6, rel=1e-3, abs=1e-6)


def test_the_network_learns_from_seen_classes_what_helps_unseen_ones() -> None:
    graph, names, nodes, X = planted(5)
    y = np.repeat(np.arange(24), 20)
    seen = y < 16
    network = GraphNetwork(hidden=32, penalty=0.1).fit(graph, names, X[seen], nodes[y[seen]])
    unseen = X[~seen]
    with pytest.raises(ValueError, match="hidden must be even, from 2 to twice the 16 dimensions, got 33"):
        GraphNetwork(hidden=33).fit(graph, names, X, nodes[y])
    assert accuracy(unseen, network.vectors(graph, names, nodes[16:])) > 0.1 + accuracy(
        unseen, at_length_one(names)[nodes[16:]]
    )


@pytest.mark.parametrize(
    ("triples", "why"),
    [
        ([], "an edge between two nodes at least, got none"),
        ([("a", "is", "a")], "an edge between two nodes at least, got none"),
        ([("a",)], r"a triple must be head, relation and tail .* got \('a',\)"),
        ([("a", "is", " ")], "a triple must be head, relation and tail"),
    ],
)
def test_what_is_no_graph_is_refused(triples: list, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ClassGraph.of(triples)


def test_wrong_questions_are_refused() -> None:
    graph = ClassGraph.of(TRIPLES)
    with pytest.raises(ValueError, match="'hubb' is none; the nearest is 'hub'"):
        graph.numbers(["a", "hubb"])
    with pytest.raises(ValueError, match="own must be a share from 0 to 1"):
        neighbour_means(graph, np.ones((8, 2)), np.array([0]), own=2.0)
    with pytest.raises(ValueError, match="a vector for each of the 8 nodes, got 7"):
        neighbour_means(graph, np.ones((7, 2)), np.array([0]))
