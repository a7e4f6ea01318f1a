"""Class-dependent compression: the ranking loss beside loops, exact masks, rewinding, who is missed, bad input."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from raypipe.classify.class_dependent_compression import ClassDependentCompression, margins, ranking_loss, survivors
from tests.learning import SEED, require


def test_the_ranking_loss_is_a_loop_over_pairs_and_its_slope_that_of_differences():
    rng = np.random.default_rng(0)
    Z, positive = rng.standard_normal((7, 3)), np.array([1, 0, 0, 1, 0, 1, 0], bool)
    s = margins(Z, 1)
    np.testing.assert_allclose(s, Z[:, 1] - np.log(np.exp(Z[:, 0]) + np.exp(Z[:, 2])))
    value, slope = ranking_loss(Z, positive, 1)
    assert value == pytest.approx(np.mean([max(0, 1 - (s[i] - s[j])) ** 2 for i in (0, 3, 5) for j in (1, 2, 4, 6)]))
    for at in np.ndindex(Z.shape):
        step = np.zeros_like(Z)
        step[at] = 1e-6
        gap = ranking_loss(Z + step, positive, 1)[0] - ranking_loss(Z - step, positive, 1)[0]
        assert slope[at] == pytest.approx(gap / 2e-6, abs=1e-6)


def test_the_ranking_loss_bounds_one_minus_auc_and_is_0_without_pairs():
    rng = np.random.default_rng(1)
    for _ in range(20):
        Z, positive = rng.standard_normal((30, 2)), rng.random(30) < 0.4
        s = margins(Z, 1)
        auc = np.mean(s[positive][:, None] > s[~positive])
        assert ranking_loss(Z, positive, 1)[0] >= 1 - auc
    assert ranking_loss(Z, np.zeros(30, bool), 1)[0] == 0


def test_exactly_so_many_survive_though_dead_inputs_tie():
    start = {"weights0": np.zeros((4, 3)), "bias0": np.zeros(3)}
    end = {"weights0": np.array([[3.0, 0, 0], [0, -2, 0], [0, 0, 0], [0, 0, 0]]), "bias0": np.zeros(3)}
    masks = {"weights0": np.ones((4, 3), bool)}
    for n in (6, 2, 1):
        masks = survivors(start, end, masks, n)
        assert masks["weights0"].sum() == n
        assert masks["weights0"][0, 0]
    grown = survivors({"weights0": np.array([[5.0, 1.0]])}, {"weights0": np.array([[5.5, -2.0]])}, {
        "weights0": np.ones((1, 2), bool)
    }, 1)  # fmt: skip
    assert grown["weights0"].tolist() == [[False, True]]  # not the larger, the one that grew


class Watched(ClassDependentCompression):
    """Keeps where every training starts and ends."""

    def _trained(self, start, masks, Z, at, gamma, rng):
        end = super()._trained(start, masks, Z, at, gamma, rng)
        self.seen_ = [*getattr(self, "seen_", []), (start, masks, end, gamma)]
        return end


def test_shares_are_exact_survivors_return_to_their_start_and_pruned_weights_stay_0():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((60, 5)), np.repeat([0, 1], [45, 15])
    model = Watched(n_rounds=3, hidden=8, last=4, n_epochs=2, gamma=7.0, random_state=0).fit(X, y)
    first, total = model.seen_[0][0], 5 * 8 + 8 * 4 + 4 * 2
    before = None
    for training, (start, masks, end, gamma) in enumerate(model.seen_):
        assert start is first
        assert gamma == (1.0 if training == 0 else 7.0)
        assert sum(int(mask.sum()) for mask in masks.values()) == round(total * 0.5**training)
        assert all((end[name][~mask] == 0).all() for name, mask in masks.items())
        assert before is None or all((before[name] | ~mask).all() for name, mask in masks.items())
        before = masks
    assert [one.n_weights for one in model.rounds_] == [80, 40, 20, 10]
    assert f"10 of 80 weights; of the rows learned from, {model.rounds_[-1].missed:.1%} of '1'" in model.advice()


@pytest.mark.learns
def test_a_small_network_misses_fewer_of_the_class_than_a_plain_lottery_ticket():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(y))
    X, y = X[order], (y[order] == 8).astype(int)
    settings = {"n_rounds": 6, "n_epochs": 15, "random_state": SEED}
    plain = ClassDependentCompression(gamma=1.0, ranking=0.0, **settings).fit(X[:800], y[:800])
    ours = ClassDependentCompression(gamma=10.0, **settings).fit(X[:800], y[:800])
    missed = [(one.predict(X[800:]) != 1)[y[800:] == 1].mean() for one in (plain, ours)]
    require(above=0.0, fewer_missed=float(missed[0] - missed[1]))


@pytest.mark.parametrize(
    ("settings", "y", "words"),
    [
        (
            {"positive": "2"},
            [0, 1],
            r"positive must be a class that has labelled rows, got '2'; there are \['0', '1'\]",
        ),
        ({"prune": 1.0}, [0, 1], r"prune must be in \(0, 1\), .* got 1.0, 5.0"),
        ({"n_rounds": -1}, [0, 1], "n_rounds 0, got .* n_rounds -1"),
        ({"n_rounds": 40}, [0, 1], "must leave a weight of 3,260, got 40, 0.5"),
        ({}, [1, 1], "two classes at least, got 1 class: '1'"),
    ],
)
def test_bad_input_is_refused_before_training(settings, y, words):
    class Never(ClassDependentCompression):
        def _trained(self, start, masks, Z, at, gamma, rng):
            raise AssertionError

    with pytest.raises(ValueError, match=words):
        Never(**settings).fit(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array(y))
