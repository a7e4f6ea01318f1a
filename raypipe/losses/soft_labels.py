"""Losses of a strong model that learns a weak model's soft labels: cross-entropy, confidence, product.

Each is called with logits [n, k], soft labels q [n, k] (rows sum to 1) and the share of training that is done, and
gives a term a document [n], in nats. f is the softmax of the logits. Each is the cross-entropy to a target [n, k] that
no gradient goes through, and says which.

Source: C. Burns et al., Weak-to-Strong Generalization, arXiv 2312.09390, section 4.3.2; the schedule, the threshold and
the product are those of the authors' public code (openai/weak-to-strong, loss.py), which differs from the paper.
Departures: the product is taken in logs, so that no target is 0 / 0.
Cost: O(n k), and a sort of n for the confidence loss.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class CrossEntropy:
    """CE(f, q)."""

    def __call__(self, logits: "torch.Tensor", soft_labels: "torch.Tensor", step_fraction: float) -> "torch.Tensor":
        """[n, k], [n, k] -> [n] nats; the step doesn't matter."""
        return cross_entropy(logits, soft_labels)

    def target(self, logits: "torch.Tensor", soft_labels: "torch.Tensor", step_fraction: float) -> "torch.Tensor":
        """q itself."""
        return soft_labels


@dataclass(frozen=True)
class Confidence:
    """CE(f, (1 - c) q + c hard(f)): the auxiliary confidence loss, "logconf", of two classes.

    `hard` compares with a quantile over the documents that come in together: batches of a few make it coarse.
    """

    aux_coef: float = 0.5
    """Weight c of the model's own hardened predictions, once warmed up."""
    aux_warmup: float = 0.1
    """Share of training in which c grows; up to its end c is aux_coef x that share (0 to 0.05), then jumps to aux_coef:
    a quirk of the source's code, kept."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises
        ------
        ValueError
            If a field isn't in [0, 1].
        """
        for name in ("aux_coef", "aux_warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")

    def coefficient(self, step_fraction: float) -> float:
        """c at this share of training."""
        return self.aux_coef * (step_fraction if step_fraction <= self.aux_warmup else 1.0)

    def __call__(self, logits: "torch.Tensor", soft_labels: "torch.Tensor", step_fraction: float) -> "torch.Tensor":
        """[n, 2], [n, 2] -> [n] nats.

        Raises
        ------
        ValueError
            If there aren't two classes.
        """
        return cross_entropy(logits, self.target(logits, soft_labels, step_fraction))

    def target(self, logits: "torch.Tensor", soft_labels: "torch.Tensor", step_fraction: float) -> "torch.Tensor":
        """(1 - c) q + c hard(f)."""
        c = self.coefficient(step_fraction)
        if c == 0:
            return soft_labels
        return (1 - c) * soft_labels + c * hardened(logits.detach().softmax(dim=1), soft_labels)


@dataclass(frozen=True)
class Product:
    """CE(f, target), where the target is f^beta q^alpha, made to sum to 1; no gradient goes through it.

    >>> import torch
    >>> [round(loss, 3) for loss in Product()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.9, 0.1]]), 0.0).tolist()]
    [0.157]
    """

    alpha: float = 1.0
    """Power of the soft labels."""
    beta: float = 1.0
    """Power of the model's own predictions; with 0 and alpha 1 this is plain cross-entropy."""

    def __post_init__(self) -> None:
        """Check the powers.

        Raises
        ------
        ValueError
            If alpha isn't positive, or beta is negative.
        """
        if self.alpha <= 0 or self.beta < 0:
            raise ValueError(f"alpha must be above 0 and beta at least 0, got {self.alpha} and {self.beta}.")

    def __call__(self, logits: "torch.Tensor", soft_labels: "torch.Tensor", step_fraction: float) -> "torch.Tensor":
        """[n, k], [n, k] -> [n] nats; the step doesn't matter."""
        return cross_entropy(logits, self.target(logits, soft_labels, step_fraction))

    def target(self, logits: "torch.Tensor", soft_labels: "torch.Tensor", step_fraction: float) -> "torch.Tensor":
        """f^beta q^alpha, made to sum to 1."""
        log_target = self.beta * logits.detach().log_softmax(dim=1) + self.alpha * soft_labels.log()
        return log_target.softmax(dim=1)


SoftLoss = CrossEntropy | Confidence | Product
PLAIN = CrossEntropy()


def cross_entropy(logits: "torch.Tensor", target: "torch.Tensor") -> "torch.Tensor":
    """-sum_k target log softmax(logits): [n, k], [n, k] -> [n] nats.

    >>> import torch
    >>> [round(loss, 3) for loss in cross_entropy(torch.zeros(1, 2), torch.tensor([[0.5, 0.5]])).tolist()]
    [0.693]
    """
    import torch.nn.functional as F

    return F.cross_entropy(logits, target, reduction="none")


def hardened(probability: "torch.Tensor", soft_labels: "torch.Tensor") -> "torch.Tensor":
    """Predictions as one-hot rows in the class balance of the soft labels: [n, 2], [n, 2] -> [n, 2].

    Class 0 where its probability reaches the quantile of the n at the mean soft label of class 1; so the share of class
    1 is that mean, up to 1 / n. Equal probabilities all go the same way: with all of them equal, to class 0.

    >>> import torch
    >>> soft = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    >>> hardened(torch.tensor([[0.6, 0.4], [0.55, 0.45]]), soft).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Raises
    ------
    ValueError
        If there aren't two classes.
    """
    import torch

    if probability.shape[1] != 2:
        raise ValueError(f"the confidence loss is of 2 classes, got {probability.shape[1]}.")
    level = soft_labels[:, 1].float().mean().clamp(0, 1)
    first = probability[:, 0].float()
    is_first = first >= torch.quantile(first, level)
    return torch.stack([is_first, ~is_first], dim=1).to(soft_labels.dtype)
