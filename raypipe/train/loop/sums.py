"""Losses by domain, added up over rows, passes and workers; and held-out figures from all rows together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from raypipe.contracts.rows import Row
from raypipe.contracts.task import RowLosses
from raypipe.train.engines.workers import Workers


@dataclass
class Sums:
    """Loss by domain."""

    domains: tuple[str, ...]
    losses: np.ndarray = field(init=False)  # [domains] float64
    counts: np.ndarray = field(init=False)  # [domains] float64
    figures: dict[str, float] = field(default_factory=dict, init=False)
    """What the task measures of held-out rows beside the loss."""

    def __post_init__(self) -> None:
        """Begin at zero."""
        self.losses, self.counts = np.zeros(len(self.domains)), np.zeros(len(self.domains))
        self._code = {domain: at for at, domain in enumerate(self.domains)}

    def add(self, terms: RowLosses, rows: Sequence[Row]) -> None:
        """The terms of a pass. Cost: of the domains in it, not of all."""
        here, of_row = np.unique([self._code[row.domain] for row in rows], return_inverse=True)
        owners = torch.from_numpy(of_row).to(terms.owners.device)[terms.owners]
        losses = torch.zeros(len(here), device=terms.losses.device, dtype=torch.float64)
        losses.index_add_(0, owners, terms.losses.detach().double())
        self.losses[here] += losses.cpu().numpy()
        self.counts[here] += torch.bincount(owners, minlength=len(here)).cpu().numpy()

    def together(self, workers: Workers, *others: float) -> np.ndarray:
        """Add up over all workers, and other numbers with them, in one exchange: those, added up."""
        told = workers.sum(np.concatenate([self.losses, self.counts, others]))
        self.losses, self.counts = told[: len(self.domains)], told[len(self.domains) : 2 * len(self.domains)]
        return told[2 * len(self.domains) :]

    @property
    def mean(self) -> float:
        """Over all terms; NaN without any."""
        return float(self.losses.sum() / self.counts.sum()) if self.counts.sum() else float("nan")

    def by_domain(self) -> dict[str, float]:
        """The means of the domains that have terms."""
        known = np.flatnonzero(self.counts)
        return {self.domains[at]: float(self.losses[at] / self.counts[at]) for at in known.tolist()}


@dataclass
class Metrics:
    """The metrics of held-out rows, pass by pass."""

    passes: list[Mapping[str, np.ndarray]] = field(default_factory=list)

    def add(self, metrics: Mapping[str, torch.Tensor]) -> None:
        """Those of a pass of this worker that no other has counted."""
        self.passes.append({name: values.detach().float().cpu().numpy() for name, values in metrics.items()})

    def together(self, workers: Workers) -> dict[str, np.ndarray]:
        """By name, of all rows of all workers, in the order of the lists that workers take by turns."""
        by_rank = workers.gather(self.passes)
        turns = max((len(passes) for passes in by_rank), default=0)
        ordered = [passes[turn] for turn in range(turns) for passes in by_rank if turn < len(passes)]
        names = list(ordered[0]) if ordered else []
        return {name: np.concatenate([one[name] for one in ordered]) for name in names}
