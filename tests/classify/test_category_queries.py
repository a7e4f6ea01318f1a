"""Category queries: rare classes among very many, the bound of recall@K, relations, hierarchies, names, many labels."""

import numpy as np
import pytest

from raypipe.classify.category_queries import CategoryQueries, nearest_name
from raypipe.classify.category_relations import along_tree, ancestors, by_attention, counted


def long_tail(n_classes, seed, *, d=32, few=5, many=50):
    """Rows around unit vectors, 5 of each class of the first half and 50 of the others; rows to test; noisy names."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_classes, d))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    y = np.repeat(np.arange(n_classes), np.where(np.arange(n_classes) < n_classes // 2, few, many))
    test = np.repeat(np.arange(n_classes), 4)
    X, T = (centres[of] + 0.9 / np.sqrt(d) * rng.normal(size=(len(of), d)) for of in (y, test))
    names = centres + rng.normal(size=centres.shape) / np.sqrt(d)
    return X, y, T, test, dict(enumerate(names))


@pytest.mark.learns
def test_among_the_kept_rare_classes_are_learned_that_drown_among_all():
    X, y, T, test, names = long_tail(300, 0, d=64)
    settings = {"n_steps": 120, "batch_rows": 256, "learning_rate": 1e-2, "random_state": 0}
    among = CategoryQueries(n_kept=15, **settings).fit(X, y, names=names)
    whole = CategoryQueries(n_kept=300, **settings).fit(X, y, names=names)
    rare = test < 150
    of_rare = [(model.predict(T) == test)[rare].mean() for model in (among, whole)]
    assert of_rare[0] > of_rare[1] + 0.2
    assert among.gradient_ratio_[0] > 5 * whole.gradient_ratio_[0]


@pytest.mark.parametrize("guide", ["vectors", "rows", "names"])
def test_accuracy_is_never_above_recall_of_the_kept(guide):
    X, y, T, test, names = long_tail(40, 1, d=8)
    model = CategoryQueries(n_kept=4, guide=guide, n_steps=40, random_state=0).fit(X, y, names=names)
    is_kept = (model.kept(T) == test[:, None]).any(axis=1)
    right = model.predict(T) == test
    assert 0.3 < is_kept.mean() < 1
    assert not right[~is_kept].any()
    probability = model.predict_proba(T)
    assert ((probability > 0).sum(axis=1) <= 4).all()
    assert (model.probabilities(T).argmax(axis=1) == probability.argmax(axis=1)).all()


def test_biases_of_classes_have_no_say_in_what_is_kept():
    X, y, T, _, names = long_tail(40, 3)
    model = CategoryQueries(n_kept=4, n_steps=40, random_state=0).fit(X, y, names=names)
    assert model.bias_.shape == (40,)
    assert np.ptp(model.bias_) > 0.01  # frequent classes and rare ones were right differently often
    kept = model.kept(T)
    model.bias_ = model.bias_ + np.random.default_rng(0).normal(scale=50, size=40)
    np.testing.assert_array_equal(model.kept(T), kept)
    lost = np.array([not set(own) & {int(model.bias_.argmax())} for own in kept])
    assert lost.any()
    assert (model.predict(T)[lost] != model.bias_.argmax()).all()  # however high its bias, it isn't kept


def test_the_selector_learns_to_keep_what_a_turned_space_hides():
    """Names lie in a space that is turned against the rows': as they are they tell nothing."""
    X, y, T, test, names = long_tail(40, 2)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0]
    turned = {label: vector @ turn for label, vector in names.items()}
    recall = {}
    for guide in ("names", "rows"):
        model = CategoryQueries(n_kept=4, guide=guide, n_steps=100, learning_rate=1e-2, random_state=0)
        model.fit(X, y, names=turned)
        recall[guide] = (model.kept(T) == test[:, None]).any(axis=1).mean()
    assert recall["rows"] > recall["names"] + 0.2


def test_a_label_that_only_has_a_name_can_be_answered():
    X, y, T, test, names = long_tail(20, 3)
    model = CategoryQueries(n_kept=20, n_steps=1, random_state=0).fit(X[y > 0], y[y > 0], names=names)
    assert (model.predict(T[test == 0]) == 0).any()
    assert (nearest_name(T, names) == test).mean() > 0.6


def test_names_that_say_nothing_leave_the_mean_of_the_rows():
    X, y, _, _, names = long_tail(10, 4)
    model = CategoryQueries(n_steps=1, random_state=0).fit(X, y, names={0: np.zeros(32), 1: names[1], 2: names[2]})
    means = CategoryQueries(n_steps=1, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.vectors_[0], means.vectors_[0], atol=0.01)
    assert np.abs(model.vectors_[1] - means.vectors_[1]).max() > 0.05


def test_the_logged_ratio_is_that_of_arithmetic_where_all_are_as_likely():
    """The bias makes each class 1.0 % likely; class vectors of rows without a direction are zeros."""
    X, y = np.zeros((20, 3)), np.arange(20) % 10
    p = 1 / (1 + np.exp(4.6))
    for k in (10, 4):
        model = CategoryQueries(n_kept=k, keep_own=True, n_steps=1, random_state=0).fit(X, y)
        assert model.gradient_ratio_[0] == pytest.approx((1 - p) / ((k - 1) * p), rel=1e-4)


def test_many_labels_a_row_are_each_told():
    rng = np.random.default_rng(0)
    has = rng.random((400, 6)) < 0.3
    X = has @ rng.normal(size=(6, 12)) + 0.1 * rng.normal(size=(400, 12))
    labels = [[f"tag {at}" for at in np.flatnonzero(row)] for row in has]
    model = CategoryQueries(n_kept=6, n_steps=400, learning_rate=3e-2, random_state=0).fit_many(X[:300], labels[:300])
    found = model.probabilities(X[300:]) > 0.5
    assert (found == has[300:]).mean() > 0.9


def test_a_tree_draws_inner_labels_to_their_children_from_the_leaves_up():
    labels = np.array(["a", "b", "c", "r", "s"])
    parents = {"a": "s", "b": "s", "s": "r", "c": "r"}
    mix = along_tree(parents, labels)
    np.testing.assert_allclose(mix[[0, 1, 2]], np.eye(5)[[0, 1, 2]])
    share = 0.4 + 0.4 * np.log(4) / np.log(7)
    np.testing.assert_allclose(mix[4], [share / 2, share / 2, 0, 0, 1 - share])
    above = 0.4 + 0.4 * np.log(6) / np.log(7)
    np.testing.assert_allclose(mix[3], (1 - above) * np.eye(5)[3] + above * (mix[4] + np.eye(5)[2]) / 2)
    np.testing.assert_allclose(mix.sum(axis=1), 1)
    attention = by_attention(np.array([[1.0, 0.0], [0.99, 0.14], [0.0, 1.0]]))
    np.testing.assert_allclose(attention.sum(axis=1), 1)
    assert attention[0, 1] > 0.2
    assert attention[0, 2] < 1e-3


def test_ancestors_that_a_row_does_not_name_have_no_gradient():
    labels = np.array(["cat", "mammal", "rock"])
    above = ancestors({"cat": "mammal"}, labels)
    targets = np.array([[True, False, False], [True, True, False], [False, False, True]])
    assert counted(targets, above).tolist() == [[True, False, True], [True, True, True], [True, True, True]]


def test_relations_and_hierarchies_go_through_fit():
    rng = np.random.default_rng(0)
    y = np.repeat(["cat", "dog", "oak", "elm"], 20)
    X = np.repeat(rng.normal(size=(4, 8)), 20, axis=0) + 0.2 * rng.normal(size=(80, 8))
    parents = "cat>animal;dog>animal;oak>tree;elm>tree"
    for relations in ("tree", "attention"):
        model = CategoryQueries(relations=relations, parents=parents, n_steps=200, random_state=0).fit(X, y)
        assert model.classes_.tolist() == ["animal", "cat", "dog", "elm", "oak", "tree"]
        assert (model.predict(X) == y).mean() > 0.9
        again = CategoryQueries(relations=relations, parents=parents).from_state(model.state())
        np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert model.explain(X[:1], ["x"])[0].startswith("of 6 kept of 6 classes: cat (")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CategoryQueries().fit(np.eye(2), ["a", "a"]), "two classes at least, got 1 class: 'a'"),
        (lambda: CategoryQueries(n_kept=0).fit(np.eye(2), ["a", "b"]), "n_kept.* must be at least 1.*got 0"),
        (lambda: CategoryQueries(relations="tree").fit(np.eye(2), ["a", "b"]), "relations=tree needs parents"),
        (lambda: CategoryQueries(parents="a>b;b>a").fit(np.eye(2), ["a", "b"]), "no cycle, 'a' leads back to 'a'"),
        (lambda: CategoryQueries().fit_many(np.eye(2), [["a"], ["a"]]), "a list for each of 2 rows, of two classes"),
        (lambda: ancestors({"a": "z"}, np.array(["a", "b"])), "must be of labels, 'z' is none"),
    ],
)
def test_bad_input_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
