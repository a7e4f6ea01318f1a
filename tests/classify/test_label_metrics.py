"""Label metrics: paths of a tree and a graph by a slow search, scales and vectors, and what is refused."""

import numpy as np
import pytest

from raypipe.classify.label_metrics import LabelMetric, along_edges, between_vectors, complete, hierarchy, on_a_scale

ANIMALS = {"cat": "mammal", "dog": "mammal", "mammal": "animal", "trout": "fish", "fish": "animal"}


def steps(parents, a, b):
    """Steps between two labels of a tree, by their lines of ancestors."""
    lines = []
    for at in (a, b):
        line = [at]
        while line[-1] in parents:
            line.append(parents[line[-1]])
        lines.append(line)
    return min(lines[0].index(x) + lines[1].index(x) for x in lines[0] if x in lines[1])


def test_a_hierarchy_counts_steps():
    found = hierarchy(ANIMALS)
    right = [[steps(ANIMALS, a, b) for b in found.labels] for a in found.labels]
    np.testing.assert_array_equal(found.distances, right)
    assert found.labels.tolist() == ["animal", "cat", "dog", "fish", "mammal", "trout"]


def test_a_graph_takes_the_shortest_path_and_of_an_edge_named_twice_the_shorter():
    found = along_edges([["a", "b"], ["b", "c"], ["a", "c"], ["a", "b"]], [1.0, 1.0, 5.0, 3.0])
    np.testing.assert_array_equal(found.distances, [[0, 1, 2], [1, 0, 1], [2, 1, 0]])


def test_scales_vectors_and_nothing_known():
    np.testing.assert_array_equal(on_a_scale([3, 1, 1, 6]).distances[0], [0, 2, 5])
    found = between_vectors(["b", "a"], np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert (found.labels.tolist(), found.distances[0, 1]) == (["a", "b"], 5.0)
    np.testing.assert_array_equal(complete(["x", "y", "x"]).distances, [[0, 1], [1, 0]])


def test_positions_are_of_known_labels():
    assert hierarchy(ANIMALS).positions(np.array(["dog", "cat"])).tolist() == [2, 1]
    with pytest.raises(ValueError, match="must be labels of the metric, 'horse' of 1 is not"):
        hierarchy(ANIMALS).positions(np.array(["dog", "horse"]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hierarchy({"a": "b", "b": "c", "c": "a"}), "no cycle, 'a' is its own ancestor"),
        (lambda: hierarchy({"a": "b", "c": "d"}), "one root, got 2: b, d"),
        (lambda: along_edges([]), "one at least, got 0 edges"),
        (lambda: along_edges([["a", "b"], ["c", "d"]]), "no path leads from 'a' to 'c'"),
        (lambda: along_edges([["a", "b"]], [0.0]), "lengths must be above 0"),
        (lambda: LabelMetric(np.array(["b", "a"]), np.zeros((2, 2))), "sorted, each once"),
        (lambda: LabelMetric(np.array(["a", "b"]), np.ones((2, 2))), "0 to oneself"),
        (lambda: LabelMetric(np.array(["a", "b"]), np.array([[0.0, 1], [2, 0]])), "the same both ways"),
    ],
)
def test_what_is_no_metric_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
