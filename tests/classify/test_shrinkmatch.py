"""ShrinkMatch: the shrunk space by hand, which weights its loss moves, what unlabelled rows are worth, bad input."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits

from raypipe.classify.shrinkmatch import ShrinkMatch, UnlabelledBatch, shrunk, shrunk_loss
from tests.learning import SEED, require


def test_the_dossiers_row_drops_the_second_and_third_class():
    ranked = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    found = shrunk(np.array([ranked, ranked[[3, 0, 4, 1, 2]]]), 0.9)
    assert found.keep.tolist() == [[True, False, False, True, True], [True, True, True, False, False]]
    assert found.is_shrunk.all()
    assert shrunk(ranked[None], 0.7).keep.tolist() == [[True, False, True, True, True]]


def test_it_is_a_loop_over_ranks():
    rng, tau = np.random.default_rng(0), 0.8
    P = softmax(2 * rng.standard_normal((200, 7)), axis=1)
    found = shrunk(P, tau)
    for p, keep, is_shrunk in zip(P, found.keep, found.is_shrunk, strict=True):
        order = np.argsort(-p)
        cuts = [c for c in range(2, 7) if p[order[0]] / (p[order[0]] + p[order[c:]].sum()) >= tau]
        assert is_shrunk == (p.max() < tau and bool(cuts))
        if cuts:
            assert set(np.flatnonzero(keep)) == {order[0], *order[cuts[0] :]}


def test_sure_rows_rows_that_never_come_to_tau_and_two_classes_are_not_shrunk():
    assert not shrunk(np.array([[0.96, 0.03, 0.01]]), 0.95).is_shrunk
    assert not shrunk(np.array([[0.34, 0.33, 0.33]]), 0.95).is_shrunk
    assert not shrunk(np.array([[0.6, 0.4]]), 0.5 + 0.2).is_shrunk


def test_dropped_classes_have_no_slope_at_all():
    logits = np.random.default_rng(1).standard_normal((3, 5))
    found = shrunk(np.tile([0.5, 0.3, 0.15, 0.04, 0.01], (3, 1)), 0.9)
    value, slope = shrunk_loss(logits, np.zeros(3, int), found.keep, np.ones(3))
    assert (slope[:, 1:3] == 0).all()
    assert (slope[:, [0, 3, 4]] != 0).all()
    kept = np.exp(logits[:, [0, 3, 4]])
    assert value == pytest.approx(-np.log(kept[:, 0] / kept.sum(axis=1)).sum())


@pytest.mark.parametrize("auxiliary", [True, False])
def test_the_shrunk_loss_moves_the_main_head_only_without_an_auxiliary_one(auxiliary):
    from raypipe.fitting.perceptron import begun

    class Kind(ShrinkMatch):
        pass

    Kind.auxiliary = auxiliary
    model, rng = Kind(), np.random.RandomState(0)
    model.classes_ = np.arange(5)
    net, head = begun((4, 6, 3, 5), rng), begun((3, 2, 5), rng)
    P = np.tile([0.5, 0.3, 0.15, 0.04, 0.01], (8, 1))
    seen = UnlabelledBatch(np.arange(8), P, np.zeros(8, bool), shrunk(P, 0.9))
    views, at = rng.standard_normal((9, 4)), np.zeros(1, int)
    with_it, _ = model._slopes(net, head, views, at, seen, 1.0)
    without, _ = model._slopes(net, head, views, at, seen, 0.0)
    changed = {name for name in with_it if not np.array_equal(with_it[name], without[name])}
    of_encoder = {"weights0", "bias0", "weights1", "bias1"}
    assert changed == (of_encoder if auxiliary else of_encoder | {"weights2", "bias2"})


@pytest.mark.learns
def test_unlabelled_rows_make_it_more_accurate_and_more_of_them_teach_than_are_sure():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(y))
    X, y = X[order] / 16, y[order]
    few = np.concatenate([np.flatnonzero(y[:700] == of)[:4] for of in range(10)])
    settings = {"random_state": SEED}
    alone = ShrinkMatch(**settings).fit(X[few], y[few])
    taught = ShrinkMatch(**settings).fit(X[few], y[few], X_unlabelled=X[:700])
    require(above=0.02, gain=taught.score(X[1000:], y[1000:]) - alone.score(X[1000:], y[1000:]))
    require(above=0.05, taught_early=float((taught.used_ - taught.certain_)[:30].mean()))


@pytest.mark.parametrize(
    ("settings", "y", "others", "words"),
    [
        ({"tau": 0.0}, [0, 1], None, r"tau in \(0, 1\] .* tau 0.0"),
        ({"hidden": 0}, [0, 1], None, "sizes must be at least 1, .* got hidden 0"),
        ({"strong_noise": -1.0}, [0, 1], None, "got 1.0, 0.1, -1.0"),
        ({}, [1, 1], None, "two classes at least, got 1 class: '1'"),
        ({}, [0, 1], np.ones((4, 3)), "X_unlabelled must have 2 numbers a row, as the labelled rows have, got 3"),
        ({}, [0, 1], np.array([[1.0, np.nan]]), "X_unlabelled contains NaN"),
        ({}, [0, 1], np.empty((0, 2)), "0 sample"),
    ],
)
def test_bad_input_is_refused_before_training(settings, y, others, words):
    class Never(ShrinkMatch):
        def _train(self, Z, at, others):
            raise AssertionError

    with pytest.raises(ValueError, match=words):
        Never(**settings).fit(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array(y), X_unlabelled=others)
