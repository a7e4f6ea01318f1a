"""Masks have exactly the number that is asked for, whatever the scores; patterns, units, exchange, schedules."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raypipe.fitting.masks import (
    drop_share,
    erk_budgets,
    exchanged,
    gradual_sparsity,
    grasp_scores,
    largest,
    largest_of_all,
    n_kept,
    n_of_m,
    random_masks,
    share_dropped,
    shrunk,
    snip_scores,
    uniform_budgets,
    unit_masks,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LAYERS = {"a": drawn(300, 64), "b": drawn(100, 300, seed=1), "c": drawn(10, 100, seed=2)}


@given(st.floats(0, 0.99), st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4))
def test_budgets_sum_up_to_what_stays(sparsity, shapes):
    layers = {str(at): torch.zeros(shape) for at, shape in enumerate(shapes)}
    sizes = {name: layer.numel() for name, layer in layers.items()}
    if round((1 - sparsity) * sum(sizes.values())) < 1:
        return
    for budgets in (uniform_budgets(layers, sparsity), erk_budgets(layers, sparsity)):
        assert sum(budgets.values()) == n_kept(sizes, sparsity)
        assert all(0 <= budgets[name] <= size for name, size in sizes.items())


def test_erk_keeps_small_layers_whole_and_others_in_proportion():
    budgets = erk_budgets(LAYERS, 0.95)
    assert budgets["c"] > 0.3 * 1000
    density = {name: budgets[name] / LAYERS[name].numel() for name in "ab"}
    assert density["a"] / density["b"] == pytest.approx((364 / 19200) / (400 / 30000), rel=1e-2)
    assert erk_budgets(LAYERS, 0.5)["c"] == 1000
    uniform = uniform_budgets(LAYERS, 0.95)
    assert [uniform[name] for name in "abc"] == [960, 1500, 50]


def test_ties_are_broken_by_place():
    assert largest(torch.zeros(2, 3), 4).flatten().tolist() == [True] * 4 + [False] * 2
    masks = largest_of_all({"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([0.0, 0.0])}, 3)
    assert masks["a"].tolist() == [True, True]
    assert masks["b"].tolist() == [True, False]
    with pytest.raises(ValueError, match="got NaN"):
        largest_of_all({"a": torch.tensor([0.0, torch.nan])}, 1)


def test_magnitude_is_what_torch_has():
    from torch import nn
    from torch.nn.utils import prune

    linear = nn.Linear(20, 30, bias=False)
    ours = largest_of_all({"weight": linear.weight.detach().abs()}, n_kept({"weight": 600}, 0.7))["weight"]
    prune.l1_unstructured(linear, "weight", amount=0.7)
    assert torch.equal(ours, linear.weight_mask.bool())


def test_random_masks_are_the_seeds():
    budgets = erk_budgets(LAYERS, 0.9)
    one, again, other = (random_masks(LAYERS, budgets, seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in LAYERS)
    assert not torch.equal(one["a"], other["a"])
    assert {name: int(mask.sum()) for name, mask in one.items()} == budgets
    assert share_dropped(one) == pytest.approx(0.9, abs=1e-4)


def test_scores_are_the_papers():
    """Of a loss w' A w / 2 + b' w: its gradient is A w + b, and H g is A (A w + b)."""
    A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    w, b = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.0])
    g = A @ w + b
    assert torch.equal(snip_scores({"w": w}, {"w": g})["w"], (w * (A @ w + b)).abs())
    assert torch.equal(grasp_scores({"w": w}, {"w": A @ g})["w"], w * (A @ (A @ w + b)))


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (1, 2), (4, 8)])
def test_every_group_of_m_has_n(n, m):
    weight = drawn(5, 16)
    groups = n_of_m(weight, n, m).view(5, -1, m)
    assert (groups.sum(2) == n).all()
    kept = torch.where(groups, weight.view(5, -1, m).abs(), torch.inf).amin(2)
    assert (kept >= torch.where(groups, 0, weight.view(5, -1, m).abs()).amax(2)).all()
    assert (n_of_m(torch.zeros(3, 8), 2, 4).view(3, 2, 4) == torch.tensor([True, True, False, False])).all()


@pytest.mark.parametrize(("n", "m", "shape"), [(2, 4, (3, 6)), (4, 4, (3, 8)), (0, 4, (3, 8)), (2, 4, (8,))])
def test_a_pattern_that_no_layer_has_is_refused(n, m, shape):
    with pytest.raises(ValueError, match=f"inputs in whole groups of m, got {n}:{m}"):
        n_of_m(torch.zeros(shape), n, m)


def test_units_go_whole():
    into, out = drawn(6, 4), drawn(3, 6, seed=1)
    masks = unit_masks({"into": into, "out": out}, [("into", 0), ("out", 1)], 0.5)
    stays = masks["into"][:, 0]
    assert int(stays.sum()) == 3
    assert (masks["into"] == stays[:, None]).all()
    assert (masks["out"] == stays[None]).all()
    norms = into.square().sum(1) + out.square().sum(0)
    assert norms[stays].min() > norms[~stays].max()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_an_exchange_keeps_the_number_and_never_grows_what_it_dropped(share):
    weight, growth = drawn(20, 30), drawn(20, 30, seed=1).abs()
    mask = largest(drawn(20, 30, seed=2), 60)
    new = exchanged(weight * mask, mask, share, growth)
    n = int(share * 60)
    assert int(new.sum()) == 60
    assert int((new & ~mask).sum()) == n
    assert int((mask & ~new).sum()) == n
    if 0 < n < 60:
        assert weight[mask & new].abs().min() >= weight[mask & ~new].abs().max()
        assert growth[~mask & new].min() >= growth[~mask & ~new].max()
    dense = torch.ones(4, dtype=torch.bool)
    assert exchanged(torch.arange(4.0), dense, 0.5, torch.ones(4)).all()  # nothing is free to grow


def test_schedules_begin_and_end_where_they_say():
    assert drop_share(0, 75, 0.3) == pytest.approx(0.3)
    assert drop_share(37.5, 75, 0.3) == pytest.approx(0.15)
    assert drop_share(75, 75, 0.3) == drop_share(99, 75, 0.3) == pytest.approx(0.0)
    assert gradual_sparsity(10, 10, 60, 0.9) == gradual_sparsity(3, 10, 60, 0.9) == 0
    assert gradual_sparsity(35, 10, 60, 0.9) == pytest.approx(0.9 * 0.875)
    assert gradual_sparsity(60, 10, 60, 0.9) == gradual_sparsity(80, 10, 60, 0.9) == pytest.approx(0.9)


def test_what_was_pruned_stays_so():
    masks = {"a": torch.tensor([True, True, False, True])}
    new = shrunk({"a": torch.tensor([0.0, 2.0, 9.0, -3.0])}, masks, 3)
    assert torch.equal(new["a"], masks["a"])  # a weight of 0 that is kept goes before one that isn't
    assert shrunk({"a": torch.tensor([0.0, 2.0, 9.0, -3.0])}, masks, 1)["a"].tolist() == [False, False, False, True]


@pytest.mark.parametrize("sparsity", [1.0, 1.5, -0.1, 0.9999])
def test_a_sparsity_that_leaves_nothing_is_refused(sparsity):
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\) and leave some of the 100 weights, got"):
        n_kept({"a": 100}, sparsity)
