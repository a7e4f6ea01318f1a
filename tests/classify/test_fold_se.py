import numpy as np
import pytest

from raypipe.classify.fold_learner import CRITERIA, information_gain
from raypipe.classify.fold_se import FoldSE
from raypipe.classify.tables import Cells
from tests.classify.mixed_tables import OPS, mixed_table, stored, tables

R_PLUS_PLUS = {"criterion": "ig", "tail": 0.0, "complements": False}


def as_lists(rule) -> list:
    return [
        [[one.column, OPS[one.op], one.value] for one in rule.conditions],
        [as_lists(exception) for exception in rule.exceptions],
    ]


@pytest.mark.parametrize("name", stored()["tables"])
def test_at_the_settings_of_fold_r_the_rules_are_foldrpp_s(name: str) -> None:
    X, y = tables()[name]
    model, theirs = FoldSE(positive=1, **R_PLUS_PLUS).fit(X, y.astype(int)), stored()["tables"][name]
    assert [as_lists(rule) for _, rule in model.rules_] == theirs["rules"]
    assert model.n_rules_ == theirs["n_printed"] > 1


def test_information_gain_is_that_of_the_paper_s_example() -> None:
    tp, fn, tn, fp = (np.array([count], float) for count in (1, 7, 7, 0))
    assert information_gain(tp, fn, tn, fp)[0] == pytest.approx(-0.647, abs=5e-4)


@pytest.mark.parametrize("name", CRITERIA)
def test_a_perfect_split_is_the_best_and_an_even_one_the_worst(name: str) -> None:
    counts = np.array([[4, 0, 4, 0], [2, 2, 2, 2], [3, 1, 4, 0], [3, 1, 3, 1]], float).T
    scores = CRITERIA[name](*counts)
    assert scores[0] == 0
    assert scores[0] > scores[2] > scores[3] > scores[1]


def slow_gini(tp: float, fn: float, tn: float, fp: float) -> float:
    n, impurity = tp + fn + tn + fp, 0.0
    for one, other in ((tp, fp), (tn, fn)):
        if one + other:
            share = one / (one + other)
            impurity += (one + other) / n * 2 * share * (1 - share)
    return -impurity


def test_gini_is_the_impurity_weighted_by_size() -> None:
    counts = np.random.default_rng(0).integers(0, 9, (4, 50)).astype(float)
    counts[:2, 0] = counts[3, 1] = counts[0, 1] = 0
    np.testing.assert_allclose(CRITERIA["gini"](*counts), [slow_gini(*one) for one in counts.T], atol=1e-12)


def test_the_default_learns_fewer_rules_than_fold_r() -> None:
    few, many, accuracy = 0, 0, []
    for seed in range(4):
        X, y = mixed_table(seed, n=400)
        train, test = np.arange(300), np.arange(300, 400)
        models = [FoldSE(positive=1, **kind).fit(X[train], y[train].astype(int)) for kind in ({}, R_PLUS_PLUS)]
        few, many = few + models[0].n_rules_, many + models[1].n_rules_
        accuracy.append([model.score(X[test], y[test].astype(int)) for model in models])
    assert few < many
    assert np.mean(accuracy, axis=0)[0] > np.mean(accuracy, axis=0)[1] - 0.04


def test_the_tail_bounds_what_a_rule_covers_and_so_their_number() -> None:
    sizes = {}
    for n in (400, 4000):
        X, y = mixed_table(9, n=n)
        for tail in (0.005, 0.0):
            model = FoldSE(positive=1, ratio=0.1, tail=tail).fit(X, y.astype(int))
            sizes[n, tail] = model.n_rules_
            assert (model.counts_[:-1, 1] >= tail * n).all()
    assert sizes[4000, 0.005] < 1.5 * sizes[400, 0.005]
    assert sizes[4000, 0.0] > 2 * sizes[4000, 0.005]


def test_a_complement_is_learnt_where_missing_cells_say_something() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1))
    x[rng.random(400) < 0.3] = np.nan
    y = np.isnan(x[:, 0]) | (x[:, 0] > 1)
    model = FoldSE(positive=1).fit(x, y.astype(int))
    assert model.program(["score"])[0].startswith("1 if not score <= ")
    assert len(model.program()) == 2
    assert (model.predict(x) == y).all()
    assert FoldSE(positive=1, complements=False).fit(x, y.astype(int)).n_rules_ == 2


def test_several_classes_are_told_by_the_first_rule_that_holds() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(600, 3))
    y = np.where(X[:, 0] > 0.6, "a", np.where(X[:, 1] > 0.5, "b", "c"))
    model = FoldSE().fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.95
    assert len(model.rules_) <= 4
    slow = np.full(600, model.classes_[model.default_])
    for of, rule in reversed(model.rules_):
        slow[rule.holds(Cells(X))] = model.classes_[of]
    assert (model.predict(X) == slow).all()


def test_each_decision_is_justified_by_the_rule_that_fired() -> None:
    X = np.array([["red", 1.0], ["red", 9.0], ["blue", 1.0], ["grey", 9.0]] * 10, dtype=object)
    y = np.array(["keep", "drop", "drop", "drop"] * 10)
    model = FoldSE(positive="keep").fit(X, y)
    assert set(model.explain(X, ["colour", "size"])) == {"keep: colour = 'red' and size <= 1", "drop: no rule holds"}
    assert [one.partition(":")[0] for one in model.explain(X)] == y.tolist()


def test_probabilities_are_shares_of_a_rule_s_training_rows() -> None:
    X = np.array([[0.0]] * 10 + [[1.0]] * 10)
    y = np.array([0] * 10 + [1] * 8 + [0] * 2)
    model = FoldSE(positive=1).fit(X, y)
    np.testing.assert_allclose(model.predict_proba([[1.0], [0.0]]), [[3 / 12, 9 / 12], [11 / 12, 1 / 12]])


def test_an_unseen_category_is_unequal_to_all_others() -> None:
    X = np.array([["a"], ["b"], ["c"]] * 20, dtype=object)
    model = FoldSE(positive=1).fit(X, np.array([1, 0, 0] * 20))
    assert model.predict(np.array([["z"], ["a"], [None]], dtype=object)).tolist() == [0, 1, 0]


def test_lists_keep_their_numbers_beside_texts() -> None:
    model = FoldSE(positive=1).fit([["a", 1], ["a", 2], ["b", 8], ["b", 9.5]] * 5, [0, 0, 1, 1] * 5)
    assert model.is_number_.tolist() == [False, True]
    assert model.predict([["a", 1]]).tolist() == [0]


def test_edges() -> None:
    one = FoldSE().fit(np.ones((5, 2)), ["a"] * 5)
    assert one.predict(np.zeros((2, 2))).tolist() == ["a", "a"]
    constant = FoldSE().fit(np.ones((6, 2)), [0, 0, 0, 0, 1, 1])
    assert constant.predict(np.ones((1, 2))).tolist() == [0]
    assert FoldSE(tail=0.9).fit([["a"], ["b"]], [0, 1]).condition(1, ["a"]) == "true"
    tie = FoldSE().fit([["a"], ["b"]], [0, 1])
    assert tie.predict([["a"], ["b"]]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"criterion": "entropy"}, "criterion must be one of sqrt, gini, ig, got 'entropy'"),
        ({"ratio": -1.0}, r"ratio must be at least 0 and tail in \[0, 1\), got -1.0 and 0.005"),
        ({"tail": 1.0}, r"tail in \[0, 1\), got 0.5 and 1.0"),
        ({"positive": "no"}, "positive must be one of the classes 0, 1, got 'no'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FoldSE(**settings).fit([[0.0], [1.0]], [0, 1])


def test_names_must_be_of_all_columns() -> None:
    model = FoldSE().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="names must be of 1 columns, got 2"):
        model.explain([[0.0]], ["a", "b"])
