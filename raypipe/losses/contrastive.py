"""What vectors of texts are trained by: InfoNCE, a teacher's scores, or both; of all dimensions or the first as well.

Sources: the files of its parts; the sum over first dimensions: A. Kusupati et al., Matryoshka Representation Learning,
NeurIPS 2022, equation 1. Both terms have the focal weight of InfoNCE (KaLM-Embedding-V2, arXiv 2506.20923).
Departure: mixtures are made of what is left of the negatives when they are cut, so that they have length 1 there too.
Cost: that of its parts, once for each number of dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raypipe.losses.hard_negative_mixing import mixed_list, mixed_pairs
from raypipe.losses.info_nce import focal_weight, info_nce
from raypipe.losses.teacher_scores import teacher_kl

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]
VECTORS = ("queries", "positives", "negatives")


@dataclass(frozen=True)
class ContrastiveLoss:
    """How near and far are learnt (--learn embedding).

    >>> import torch
    >>> queries, negatives = torch.eye(2), -torch.eye(2)[:, None]  # [n, d] and [n, m, d], of length 1
    >>> near = {"queries": queries, "positives": queries, "negatives": negatives}
    >>> far = {"queries": queries, "positives": queries.flip(0), "negatives": negatives}
    >>> loss = ContrastiveLoss(contrast_temperature=0.5)
    >>> [round(float(loss.terms(one).mean()), 3) for one in (near, far)]
    [0.254, 2.254]
    """

    contrast_temperature: float = 0.05
    """Cosines are divided by it before they are compared."""
    contrast_weight: float = 1.0
    """Of InfoNCE; 0: the teacher's scores alone."""
    focal_gamma: float = 0.0
    """Above 0, a row counts (1 - p)^gamma times, p being how surely its positive is found already."""
    pair_mixtures: int = 0
    """Further negatives of each row, mixed of two of its own."""
    list_mixture: bool = False
    """One further negative of each row, mixed of all of its own."""
    matryoshka: tuple[int, ...] = ()
    """How many of the first dimensions shall do alone; none: all dimensions, once."""
    matryoshka_weights: tuple[float, ...] = ()
    """Of each of these in the sum; none: 1 each."""
    scores_weight: float = 0.0
    """Of the teacher's scores, as a distribution over a row's positive and negatives."""
    scores_temperature: float = 0.05
    """The teacher's scores are divided by it."""
    cosine_temperature: float = 0.05
    """Cosines are divided by it where they are held against the teacher's scores."""

    def check(self, *, n_dimensions: int, n_negatives: int) -> None:
        """Refuse what can't be computed of such vectors and rows, and settings that would do nothing.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        for name in ("contrast_temperature", "scores_temperature", "cosine_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}.")
        for name in ("contrast_weight", "scores_weight", "focal_gamma", "pair_mixtures"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}.")
        if self.contrast_weight == self.scores_weight == 0:
            raise ValueError("contrast_weight or scores_weight must be above 0, got 0 for both.")
        if self.pair_mixtures and n_negatives < 2:
            raise ValueError(f"pair_mixtures need rows of at least 2 negatives, got {n_negatives}.")
        if (self.list_mixture or self.scores_weight) and n_negatives < 1:
            raise ValueError("list_mixture and scores_weight need rows of at least 1 negative, got 0.")
        if not all(1 <= size <= n_dimensions for size in self.matryoshka):
            raise ValueError(f"matryoshka must be numbers from 1 to {n_dimensions}, got {list(self.matryoshka)}.")
        weights = self.matryoshka_weights
        if weights and (len(weights) != len(self.matryoshka) or not min(weights) > 0):
            raise ValueError(
                f"matryoshka_weights must be {len(self.matryoshka)} numbers above 0, one for each of "
                f"{list(self.matryoshka)}, got {list(weights)}."
            )

    def terms(self, of: Tensors) -> "torch.Tensor":
        """A term a row, [n] float32, in nats.

        `of` has `queries` and `positives` [n, d] and, where rows bring them, `negatives` [n, m, d], `draws`
        [n, x, 5] for mixtures, `scores` [n, 1 + m] of a teacher, and `is_none` [n, n (1 + m)] as info_nce takes it.
        """
        import torch

        if not self.matryoshka:
            return self._of(of)
        weights = self.matryoshka_weights or (1.0,) * len(self.matryoshka)
        parts = [
            weight * self._of({name: x[..., :size] if name in VECTORS else x for name, x in of.items()})
            for size, weight in zip(self.matryoshka, weights, strict=True)
        ]
        return torch.stack(parts).sum(dim=0)

    def _of(self, of: Tensors) -> "torch.Tensor":
        import torch

        queries, positives, negatives = of["queries"], of["positives"], of.get("negatives")
        mixtures = []
        if negatives is not None and self.pair_mixtures:
            mixtures.append(mixed_pairs(negatives, of["draws"]))
        if negatives is not None and self.list_mixture:
            mixtures.append(mixed_list(queries, negatives, temperature=self.contrast_temperature))
        losses = info_nce(
            queries, positives, negatives, temperature=self.contrast_temperature,
            mixed=torch.cat(mixtures, dim=1) if mixtures else None, is_none=of.get("is_none"),
        )  # fmt: skip
        total = self.contrast_weight * losses
        if self.scores_weight and negatives is not None:
            total = total + self.scores_weight * teacher_kl(
                queries, positives, negatives, of["scores"], scores_temperature=self.scores_temperature,
                temperature=self.cosine_temperature,
            )  # fmt: skip
        return total if self.focal_gamma == 0 else focal_weight(losses, gamma=self.focal_gamma) * total
