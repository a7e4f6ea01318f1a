"""What every loss on logits and soft labels keeps to; each check catches one made wrong on purpose."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from raypipe.losses.soft_labels import CrossEntropy
from tests.conformance.finding import classes_with, head_of

LOSSES = classes_with("__call__", under="raypipe.losses")
FRACTIONS = (0.0, 0.05, 1.0)


def given(n: int = 6, *, seed: int = 0, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return logits, torch.rand(n, 2, generator=generator, dtype=torch.float64).softmax(dim=1)


def is_a_finite_term_a_row(loss: Any) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for scale in (1.0, 80.0):
            logits, labels = (x.to(dtype) for x in given(scale=scale))
            for fraction in FRACTIONS:
                found = loss(logits.requires_grad_(), labels, fraction)
                assert found.shape == (6,)
                assert found.isfinite().all()
                assert (found >= 0).all()


def is_finite_where_a_label_is_certain(loss: Any) -> None:
    logits, labels = given()[0].requires_grad_(), torch.eye(2, dtype=torch.float64)[[0, 1, 0, 1, 1, 0]]
    found = loss(logits, labels, 1.0)
    found.sum().backward()
    assert found.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def has_the_gradient_of_its_cross_entropy(loss: Any) -> None:
    """The target is held fixed: going back, logits get softmax - target, which adds up to 0 over the classes."""
    for fraction in FRACTIONS:
        logits, labels = given()
        logits.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(logits, labels, fraction).sum(), logits)
        target = logits.detach().softmax(dim=1) - gradient
        assert torch.allclose(target.sum(dim=1), torch.ones(6, dtype=torch.float64))
        assert (target > -1e-12).all()

        def fixed(x: torch.Tensor, target: torch.Tensor = target) -> torch.Tensor:
            return -(target * x.log_softmax(dim=1)).sum(dim=1)

        assert torch.allclose(fixed(logits), loss(logits, labels, fraction))
        assert torch.autograd.gradcheck(fixed, (logits,))


def treats_the_classes_alike(loss: Any) -> None:
    logits, labels = given(7)
    for fraction in FRACTIONS:
        found = loss(logits, labels, fraction)
        swapped = loss(logits.flip(1), labels.flip(1), fraction)
        assert (found - swapped).abs().gt(1e-9).sum() <= 1  # hardening gives the row at the quantile to class 0


def leaves_its_arguments_as_they_were(loss: Any) -> None:
    logits, labels = given()
    before = logits.clone(), labels.clone()
    first, second = loss(logits, labels, 1.0), loss(logits, labels, 1.0)
    assert torch.equal(first, second)
    assert torch.equal(logits, before[0])
    assert torch.equal(labels, before[1])


def has_a_card_at_the_head_of_its_file(loss: Any) -> None:
    assert "\nSource: " in head_of(type(loss))


CHECKS = [
    is_a_finite_term_a_row,
    is_finite_where_a_label_is_certain,
    has_the_gradient_of_its_cross_entropy,
    treats_the_classes_alike,
    leaves_its_arguments_as_they_were,
    has_a_card_at_the_head_of_its_file,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", LOSSES, ids=lambda kind: kind.__name__)
def test_a_loss(kind: type, check: Callable[[Any], None]) -> None:
    check(kind())


def test_all_are_found() -> None:
    assert {"CrossEntropy", "Confidence", "Product"} <= {kind.__name__ for kind in LOSSES}


@dataclass(frozen=True)
class Logs:
    """exp() of the logits unguarded, then the log of it."""

    def __call__(self, logits, labels, fraction):
        return -(labels * (logits.exp() / logits.exp().sum(1, keepdim=True)).log()).sum(1)


class LogsOfLabels(CrossEntropy):
    def __call__(self, logits, labels, fraction):
        return super().__call__(logits, labels, fraction) + (labels * labels.log()).sum(1)


class Halves(CrossEntropy):
    def __call__(self, logits, labels, fraction):
        found = super().__call__(logits, labels, fraction)
        return found.detach() + 0.5 * (found - found.detach())


class Prefers(CrossEntropy):
    def __call__(self, logits, labels, fraction):
        return super().__call__(logits, labels, fraction) * torch.where(labels[:, 0] > 0.5, 2, 1)


class Writes(CrossEntropy):
    def __call__(self, logits, labels, fraction):
        return super().__call__(logits.mul_(0.9), labels, fraction)


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (Logs, is_a_finite_term_a_row),
        (LogsOfLabels, is_finite_where_a_label_is_certain),
        (Halves, has_the_gradient_of_its_cross_entropy),
        (Prefers, treats_the_classes_alike),
        (Writes, leaves_its_arguments_as_they_were),
        (Logs, has_a_card_at_the_head_of_its_file),
    ],
)
def test_a_wrong_one_is_caught(wrong: type, check: Callable[[Any], None]) -> None:
    with pytest.raises(AssertionError):
        check(wrong())
    check(CrossEntropy())
