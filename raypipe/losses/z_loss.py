"""The Z-loss: how many deviations above the mean of all outputs the target's stands, instead of a probability.

With mu and sigma the mean and the deviation of the D outputs o, and z = (o_target - mu) / sigma:

    L = log(1 + exp(a (b - z))) / a

Adding a number to all outputs, or multiplying them by a positive one, changes nothing: outputs are no probabilities.
The gradient by z is never below -1. It sees the outputs only through the target's, their sum and the sum of their
squares: that makes it one of the losses that `factored_head` trains without computing the others.

Source: A. de Brebisson, P. Vincent, The Z-loss: a shift and scale invariant classification loss belonging to the
Spherical Family, arXiv 1604.08859, sections 3 and 4.
Departures: sigma is held above a billionth of the root mean square, where the source's code adds 1e-12 to it.
Cost: O(n D); of `z_loss_of` O(n).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SMALLEST = 1e-9
"""Of the deviation, as a share of the root mean square of the outputs: what float64 can tell from nothing."""


@dataclass(frozen=True)
class ZLoss:
    """The two numbers of the loss; z can't pass sqrt(D - 1), so b has to be below that."""

    z_a: float = 1.0
    """How sharply the loss bends at b."""
    z_b: float = 10.0
    """By how many deviations the target's output is to stand above the mean of all; ours, to be chosen by the data."""

    def __post_init__(self) -> None:
        """Check that the loss bends.

        Raises
        ------
        ValueError
            If z_a isn't above 0.
        """
        if not self.z_a > 0:
            raise ValueError(f"z_a must be above 0, got {self.z_a}.")

    def check(self, n_outputs: int) -> None:
        """Refuse a b that no target can reach.

        Raises
        ------
        ValueError
            If it isn't below the square root of one output less.
        """
        if n_outputs < 2 or (self.z_b**2 >= n_outputs - 1 and self.z_b > 0):
            most = max(n_outputs - 1, 0) ** 0.5
            raise ValueError(
                f"z_b must be below sqrt(outputs - 1) = {most:.2f} of {n_outputs:,} outputs, got {self.z_b}: no target "
                "can stand so far above the mean of all; lower z_b."
            )


def z_loss(logits: "torch.Tensor", targets: "torch.Tensor", loss: ZLoss) -> "torch.Tensor":
    """Outputs [n, D] and targets [n] -> [n] terms, in the outputs' number format.

    >>> import torch
    >>> logits, target = torch.tensor([[4.0, 0.0, 0.0, 0.0]]), torch.tensor([0])  # 1.73 deviations above the mean
    >>> [round(loss, 3) for loss in z_loss(logits, target, ZLoss(z_b=1.5)).tolist()]
    [0.584]
    """
    target = logits.gather(1, targets[:, None])[:, 0]
    mean = logits.mean(dim=1)
    variance = (logits - mean[:, None]).square().mean(dim=1)
    return _terms(target, mean, variance, mean.square() + variance, loss)


def z_loss_of(
    target: "torch.Tensor", squares: "torch.Tensor", sums: "torch.Tensor", *, n_outputs: int, loss: ZLoss
) -> "torch.Tensor":
    """The same from the target's output, the sum of all squared outputs and the sum of all: [n] each -> [n].

    A large mean beside a small deviation loses digits: give float64.
    """
    mean = sums / n_outputs
    return _terms(target, mean, squares / n_outputs - mean.square(), squares / n_outputs, loss)


def _terms(
    target: "torch.Tensor", mean: "torch.Tensor", variance: "torch.Tensor", mean_square: "torch.Tensor", loss: ZLoss
) -> "torch.Tensor":
    import torch.nn.functional as F

    least = (SMALLEST**2 * mean_square.detach()).clamp(min=1e-30)
    z = (target - mean) / variance.maximum(least).sqrt()
    return F.softplus(loss.z_a * (loss.z_b - z), threshold=50) / loss.z_a  # torch's own 20 is cut at 1e-9
