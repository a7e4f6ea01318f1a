"""Loki: argmax on the complete graph, reach beyond observed classes, loci and covers, the choice of the next class."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from raypipe.classify.label_metrics import along_edges, complete, hierarchy, on_a_scale
from raypipe.classify.loki import Loki, cover, frechet_mean, locus, next_class


def random_tree(n, rng):
    """Names of two digits, each the child of one before it."""
    return along_edges([[f"{at:02}", f"{rng.integers(at):02}"] for at in range(1, n)])


def leaves_of(metric):
    return np.flatnonzero((metric.distances == 1).sum(axis=1) == 1)


@pytest.fixture(scope="module")
def bins():
    """Rows of scikit-learn's diabetes, their bins (of 20 quantiles, named by mean target), and 8 bins that are seen."""
    X, target = load_diabetes(return_X_y=True)
    ranks = target.argsort(kind="stable").argsort(kind="stable") * 20 // len(target)
    means = np.array([round(target[ranks == b].mean()) for b in range(20)])
    return X, means[ranks], np.random.default_rng(5).choice(means, 8, replace=False)


def test_on_the_complete_graph_it_is_argmax():
    P = np.random.default_rng(0).dirichlet(np.ones(12), 1000)
    assert (frechet_mean(P, complete(range(12)).distances) == P.argmax(axis=1)).all()


def test_the_rule_is_that_of_a_slow_loop():
    rng = np.random.default_rng(1)
    metric, P = random_tree(15, rng), rng.dirichlet(np.ones(4), 30)
    observed = np.array([2, 7, 11, 14])
    for beta in (1.0, 2.0, 4.0):
        found = frechet_mean(P, metric.distances[observed], beta=beta)
        for row, weights in enumerate(P):
            cost = [
                sum(w * metric.distances[o, y] ** beta for w, o in zip(weights, observed, strict=True))
                for y in range(15)
            ]
            assert cost[found[row]] == pytest.approx(min(cost))


def test_of_ties_the_first_is_taken_however_rows_are_cut():
    metric = along_edges([["a", "b"], ["b", "c"], ["c", "d"]])
    P = np.tile([0.5, 0.5], (700, 1))
    found = frechet_mean(P, metric.distances[[0, 3]])
    assert set(found) == {1}
    assert (frechet_mean(P[:3], metric.distances[[0, 3]]) == 1).all()


def test_bins_that_no_row_showed_are_reached_and_squared_distances_fall(bins):
    X, y, seen = bins
    known = np.isin(y, seen)
    train, test = np.flatnonzero(known)[::2], np.setdiff1d(np.arange(len(y)), np.flatnonzero(known)[::2])
    metric = on_a_scale(y)
    model = Loki().fit(X[train], y[train], metric=metric)
    plain = Loki().fit(X[train], y[train])
    answers = model.predict(X[test])
    assert set(plain.predict(X[test])) <= set(seen)
    assert set(answers) - set(seen)
    reached = locus(metric, metric.positions(np.unique(seen)), n_weights=2000)
    assert set(answers) <= set(metric.labels[reached])
    assert ((answers - y[test]) ** 2).mean() < 0.9 * ((plain.predict(X[test]) - y[test]) ** 2).mean()
    again = Loki().from_state(model.state())
    assert (again.predict(X[test]) == answers).all()


def test_edges_name_classes_without_a_row():
    edges = "cat>mammal; dog>mammal; mammal>animal; fish>animal"
    X = np.array([[0.0], [0.1], [1.0], [1.1]])
    model = Loki(edges=edges).fit(X, np.array(["cat", "cat", "dog", "dog"]))
    assert model.predict(np.array([[-9.0], [0.55], [9.0]])).tolist() == ["cat", "mammal", "dog"]
    assert model.predict_proba(X).shape == (4, 5)
    assert model.explain(np.array([[0.55]]), ["x"]) == ["between cat (0.50) and dog (0.50)"]
    assert set(Loki().fit(X, model.predict(X)).predict(X)) <= {"cat", "dog", "mammal"}


def test_a_scale_names_bins_without_a_row():
    X = np.array([[0.0], [0.1], [1.0], [1.1]])
    model = Loki(scale="1;2;3;10").fit(X, np.array(["1", "1", "3", "3"]))
    assert model.predict(np.array([[-9.0], [0.55], [9.0]])).tolist() == ["1", "2", "3"]
    assert model.advice() == "3 of 4 labels can be answered; next, collect rows of 10"


def test_advice_is_the_next_class_or_the_few_that_suffice():
    X, y = np.arange(6.0)[:, None], np.array(["a", "a", "b", "b", "d", "d"])
    path = "a>b;b>c;c>d"
    assert Loki(edges=path).fit(X, y).advice() == "all 4 labels can be answered; rows of a, d suffice for it"
    found = Loki(edges=path).fit(X[:4], y[:4]).advice()
    assert found == "2 of 4 labels can be answered; next, collect rows of d"
    assert Loki().fit(X, y).advice() == "all 3 labels can be answered; rows of a, b, d suffice for it"


def test_the_locus_of_a_tree_is_the_union_of_paths_between_observed_labels():
    rng = np.random.default_rng(2)
    metric = random_tree(40, rng)
    observed = rng.choice(40, 5, replace=False)
    d = metric.distances
    on_a_path = [any(d[a, y] + d[y, b] == d[a, b] for a in observed for b in observed) for y in range(40)]
    np.testing.assert_array_equal(locus(metric, observed), on_a_path)


def test_covers_a_tree_needs_its_leaves_a_grid_two_corners_and_a_complete_graph_everything():
    tree = random_tree(25, np.random.default_rng(3))
    leaves = leaves_of(tree)
    found = cover(tree, np.arange(25))
    assert found is not None
    assert set(found) == set(leaves)
    assert cover(tree, leaves[1:]) is None
    right = [[f"{i}{j}", f"{i}{j + 1}"] for i in range(4) for j in range(2)]
    down = [[f"{i}{j}", f"{i + 1}{j}"] for i in range(3) for j in range(3)]
    grid = along_edges(right + down)
    assert locus(grid, grid.positions(np.array(["00", "32"]))).all()
    assert not locus(grid, grid.positions(np.array(["00", "12"]))).all()
    everything = complete(range(6))
    assert locus(everything, np.arange(3)).tolist() == [True] * 3 + [False] * 3
    star = hierarchy({f"leaf {at}": "centre" for at in range(5)})
    assert locus(star, leaves_of(star)).all()


def test_the_next_class_is_the_farthest_from_the_locus():
    path = along_edges([[f"{at}", f"{at + 1}"] for at in range(9)])
    assert next_class(path, path.positions(np.array(["2", "3"]))) == 9
    assert next_class(path, path.positions(np.array(["0", "9"]))) is None


def test_chosen_classes_reach_more_than_random_ones_in_9_of_10_trees():
    wins = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        tree = random_tree(100, rng)
        start = rng.choice(100, 3, replace=False)
        active = list(start)
        for _ in range(10):
            if (chosen := next_class(tree, np.array(active))) is not None:
                active.append(chosen)
        random = np.concatenate([start, rng.choice(np.setdiff1d(np.arange(100), start), 10, replace=False)])
        wins += locus(tree, np.array(active)).sum() > locus(tree, random).sum()
    assert wins >= 9


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: frechet_mean(np.array([[2.0, -1.0]]), np.ones((2, 2))), "logits must go through a softmax"),
        (lambda: frechet_mean(np.array([[1.0]]), np.ones((2, 2))), r"must meet distances \[K, N\]"),
        (lambda: Loki().fit(np.eye(2), ["a", "a"]), "two classes at least, got 1 class: 'a'"),
        (lambda: Loki(beta=0).fit(np.eye(2), ["a", "b"]), "beta must be above 0, got 0"),
        (
            lambda: Loki(edges="a>b;c").fit(np.eye(2), ["a", "b"]),
            "must be LABEL>LABEL, separated by semicolons, got 'c'",
        ),
        (lambda: Loki(scale="1;x").fit(np.eye(2), ["1", "2"]), "labels on a scale must be numbers.*'x'"),
        (lambda: Loki(scale="1;nan").fit(np.eye(2), ["1", "2"]), "distances must be finite"),
        (lambda: Loki(scale="1", edges="a>b").fit(np.eye(2), ["a", "b"]), "give edges or scale, not both"),
        (lambda: Loki(edges="a>c").fit(np.eye(2), ["a", "b"]), "must be labels of the metric, 'b'"),
    ],
)
def test_bad_input_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
