"""The Z-loss and the factored head: formula, invariance, and every step as naive gradient descent makes it."""

import math

import pytest
import torch

from raypipe.losses.factored_head import BOUNDS, FactoredHead, OutputSums
from raypipe.losses.z_loss import ZLoss, z_loss, z_loss_of

A4 = ZLoss(z_a=4.0, z_b=2.0)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def some_targets(n: int, below: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(below, (n,), generator=torch.Generator().manual_seed(seed))


def test_the_gradient_is_the_formula():
    logits, targets = drawn(6, 50).requires_grad_(), some_targets(6, 50)
    (found,) = torch.autograd.grad(z_loss(logits, targets, A4).sum(), logits)
    o = logits.detach()
    mean, deviation = o.mean(1, keepdim=True), o.std(1, unbiased=False, keepdim=True)
    z = (o - mean) / deviation
    z_c, is_c = z.gather(1, targets[:, None]), torch.nn.functional.one_hot(targets, 50).double()
    g = -torch.sigmoid(A4.z_a * (A4.z_b - z_c))
    formula = g / deviation * (is_c - 1 / 50 - z_c * z / 50)
    assert (found - formula).abs().max() < 1e-10
    exact = torch.log1p(torch.exp(A4.z_a * (A4.z_b - z_c[:, 0]))) / A4.z_a
    assert torch.allclose(z_loss(o, targets, A4), exact, rtol=1e-12)


def test_shift_and_positive_scale_change_nothing():
    logits, targets = drawn(6, 50), some_targets(6, 50)
    assert (z_loss(3 * logits + 7, targets, A4) - z_loss(logits, targets, A4)).abs().max() < 1e-9
    assert not torch.allclose(z_loss(-logits, targets, A4), z_loss(logits, targets, A4))


def test_three_numbers_say_the_same_as_all_outputs():
    logits, targets = drawn(6, 50), some_targets(6, 50)
    said = z_loss_of(logits.gather(1, targets[:, None])[:, 0], logits.square().sum(1), logits.sum(1), n_outputs=50,
                     loss=A4)  # fmt: skip
    assert (said - z_loss(logits, targets, A4)).abs().max() < 1e-12


def test_equal_outputs_have_a_finite_gradient():
    logits = torch.full((2, 5), 3.0, requires_grad=True)
    losses = z_loss(logits, torch.tensor([0, 1]), ZLoss(z_b=1.0))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("z_b", [3.0, 3.1, 10.0])
def test_a_b_that_no_target_reaches_is_refused(z_b):
    with pytest.raises(ValueError, match=r"z_b must be below sqrt\(outputs - 1\) = 3.00 of 10 outputs.*lower z_b"):
        ZLoss(z_b=z_b).check(10)
    ZLoss(z_b=2.99).check(10)
    with pytest.raises(ValueError, match="z_a must be above 0, got 0"):
        ZLoss(z_a=0)


def naive_step(W: torch.Tensor, H: torch.Tensor, targets: torch.Tensor, owners: torch.Tensor, rate: float):
    """All outputs: the weights after a step on the mean of the terms, and the gradient by H."""
    W, H = W.clone().requires_grad_(), H.clone().requires_grad_()
    losses = z_loss((H @ W.T)[owners], targets, A4)
    by_w, by_h = torch.autograd.grad(losses.mean(), (W, H))
    return (W - rate * by_w).detach(), by_h


def factored_step(head: FactoredHead, H: torch.Tensor, targets: torch.Tensor, owners: torch.Tensor, rate: float):
    """The same by the head."""
    H = H.clone().requires_grad_()
    seen = head.seen(H, targets, owners)
    losses = z_loss_of(seen.target, seen.squares[owners], seen.sums[owners], n_outputs=head.n_outputs, loss=A4)
    *by, by_h = torch.autograd.grad(losses.mean(), (*seen, H))
    head.update(H.detach(), targets, OutputSums(*by), learning_rate=rate, owners=owners)
    return by_h


@pytest.mark.parametrize("kind", ["distinct", "repeated, several a row"])
def test_two_hundred_steps_are_those_of_naive_gradient_descent(kind):
    D, d, m = 2000, 16, 8
    W = drawn(D, d)
    head, first = FactoredHead(W), W
    generator = torch.Generator().manual_seed(1)
    worst, owners = 0.0, torch.arange(m)
    for step in range(200):
        H = drawn(m, d, seed=step)
        targets = torch.randperm(D, generator=generator)[:m]
        if kind != "distinct":
            targets = targets[torch.randint(3, (m,), generator=generator)]
            owners = torch.randint(m, (m,), generator=generator)
        W, by_h = naive_step(W, H, targets, owners, 5.0)
        worst = max(worst, float((factored_step(head, H, targets, owners, 5.0) - by_h).abs().max()))
    assert (W - first).abs().max() > 0.1  # it has learnt
    assert worst < 1e-9
    assert (head.weight() - W).abs().max() < 1e-9
    assert (head.Q - W.T @ W).abs().max() < 1e-9
    assert (head.sums - W.sum(0)).abs().max() < 1e-9
    assert (head.outputs(H) - H @ W.T).abs().max() < 1e-9


def test_what_is_far_from_1_in_u_moves_into_v_and_w_stays():
    head = FactoredHead(drawn(100, 6))
    head.U = drawn(6, 6, seed=3) * 4
    before = head.weight()
    head.steady()
    values = torch.linalg.svdvals(head.U)
    assert values.min() >= BOUNDS[0] - 1e-9
    assert values.max() <= BOUNDS[1] + 1e-9
    assert (head.weight() - before).abs().max() < 1e-9


def test_a_float32_head_stays_near_the_float64_one():
    exact, single = FactoredHead(drawn(500, 16)), FactoredHead(drawn(500, 16).float())
    owners = torch.arange(8)
    for step in range(101):
        H, targets = drawn(8, 16, seed=step), some_targets(8, 500, seed=step)
        factored_step(exact, H, targets, owners, 5.0)
        factored_step(single, H, targets, owners, 5.0)
    assert single.V.dtype == torch.float32
    assert (single.weight().double() - exact.weight()).abs().max() < 1e-4
    assert (single.Q - exact.Q).abs().max() / exact.Q.abs().max() < 1e-5


def test_a_state_goes_on_as_if_nothing_had_been():
    one, other = FactoredHead(drawn(40, 4)), FactoredHead(drawn(40, 4, seed=9))
    owners = torch.arange(5)
    for step in range(4):
        factored_step(one, drawn(5, 4, seed=step), some_targets(5, 40, seed=step), owners, 1.0)
        if step == 1:
            other.load_state({name: value.clone() for name, value in one.state().items()})
        if step > 1:
            factored_step(other, drawn(5, 4, seed=step), some_targets(5, 40, seed=step), owners, 1.0)
    assert all(torch.equal(value, other.state()[name]) for name, value in one.state().items())
    with pytest.raises(ValueError, match=r"a head of \[3, 4\] weights can't take up one of \[40, 4\]"):
        FactoredHead(drawn(3, 4)).load_state(one.state())


def test_weights_of_no_layer_are_refused():
    with pytest.raises(ValueError, match=r"weights must be \[at least 2 outputs, at least 1 input\], got \[1, 4\]"):
        FactoredHead(torch.ones(1, 4))
    assert math.isclose(float(FactoredHead(torch.ones(2, 4)).Q[0, 0]), 2.0)
