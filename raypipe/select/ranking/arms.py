"""The selection and its controls: how each ranks the rows of a group, and which of them it takes.

Every arm chooses among the same eligible rows. A control takes, in each group, as many tokens as the selection has
there, to the nearest document: what differs between two arms is then the choice and not the amount.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from raypipe.select.ranking.groups import Eligible, adjust, find_bounds, rank_groups
from raypipe.select.ranking.orders import AtRandom, Drawn, Order, by_score, keys, longest, lowest_loss
from raypipe.select.ranking.ranks import Ranks, Unit
from raypipe.select.refuse import refuse_unless
from raypipe.select.rows import Regressor, Rows

Arm = Literal["random", "longest", "lowest-loss"]
Sampling = Literal["top", "temperature"]
Mixing = Literal["upsample", "keep"]


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """How many of a domain's eligible rows are taken, and which."""

    share: float = 0.2
    """Fraction of each domain's eligible rows to select, above 0 and at most 1 (the paper's: 0.2)."""
    share_of: Unit = "documents"
    """What the share is a fraction of: eligible documents, or their tokens (whole documents' `n_tokens_total`)."""
    sampling: Sampling = "top"
    """The best rows, or a seeded draw without replacement with chances that grow as rank ** (1 / temperature)."""
    temperature: float = 1.0
    """For `--sampling temperature`: towards 0 the best rows are taken, a large one draws evenly."""

    def check(self) -> None:
        """Refuse settings that make no sense; raises as `refuse_unless`."""
        refuse_unless(0 < self.share <= 1, "share", "above 0 and at most 1", self.share)
        refuse_unless(0 < self.temperature < float("inf"), "temperature", "above 0", self.temperature)
        refuse_unless(self.share_of in get_args(Unit), "share_of", f"one of {get_args(Unit)}", self.share_of)
        refuse_unless(self.sampling in get_args(Sampling), "sampling", f"one of {get_args(Sampling)}", self.sampling)


@dataclass(frozen=True, kw_only=True)
class Weighing:
    """How often rows are seen in training."""

    mix: Mixing = "upsample"
    """Train on the full corpus plus the selected rows once more (the paper's), or on the selected rows only."""
    extra_copies: float = 1.0
    """For `--mix upsample`: how many further times a selected row is seen."""

    def check(self) -> None:
        """Refuse settings that make no sense; raises as `refuse_unless`."""
        refuse_unless(0 < self.extra_copies < float("inf"), "extra_copies", "above 0", self.extra_copies)
        refuse_unless(self.mix in get_args(Mixing), "mix", f"one of {get_args(Mixing)}", self.mix)


@dataclass(frozen=True)
class Pick:
    """How an arm ranks rows and which of them it takes."""

    order: Order
    ranks: dict[str, Ranks]
    draw: Order
    """The order in which rows are taken: `order`, or a draw from it"""
    bounds: dict[str, complex]
    """By group: rows with a higher key of `draw` are taken"""
    seed: int

    def of(self, rows: Rows, group: str) -> tuple[np.ndarray, np.ndarray]:
        """Ranks [n] in (0, 1], and which rows are taken [n] bool."""
        ranked = keys(rows, group, order=self.order, seed=self.seed)
        drawn = ranked if self.draw is self.order else keys(rows, group, order=self.draw, seed=self.seed)
        return self.ranks[group].rank(ranked), drawn > self.bounds[group]


def pick_share(eligible: Eligible, choosing: Choosing, *, regressors: tuple[Regressor, ...] = ()) -> Pick:
    """The selection itself: a share of each group's documents or tokens, ranked beyond what regressors explain."""
    order: Order = adjust(eligible, regressors) if regressors else by_score
    ranks, seed = rank_groups(eligible, order), eligible.scores.seed
    draw, drawn = order, ranks
    if choosing.sampling == "temperature":
        draw = Drawn(ranks, order, choosing.temperature, seed)
        drawn = rank_groups(eligible, draw)
    unit = choosing.share_of
    targets = {group: share_target(own, choosing.share, unit=unit) for group, own in ranks.items()}
    bounds = find_bounds(eligible, draw, ranks=drawn, targets=targets, unit=unit)
    return Pick(order, ranks, draw, bounds, seed)


def share_target(ranks: Ranks, share: float, *, unit: Unit) -> int:
    """How many documents (at least one) or tokens a share of a group is, rounded."""
    if unit == "documents":
        return max(1, int(share * ranks.n_rows + 0.5))
    return int(share * int(ranks.tokens.sum()) + 0.5)


def pick_control(eligible: Eligible, arm: Arm, *, n_tokens: dict[str, int], seed: int) -> Pick:
    """A control arm with this many tokens in each group."""
    orders: dict[Arm, Order] = {"random": AtRandom(seed), "longest": longest, "lowest-loss": lowest_loss}
    return pick_tokens(eligible, orders[arm], lambda group, _: n_tokens[group], seed=seed)


def pick_tokens(eligible: Eligible, order: Order, target: Callable[[str, int], int], *, seed: int) -> Pick:
    """The first rows of each group by an order: as many tokens as `target` says of (group, its eligible tokens)."""
    ranks = rank_groups(eligible, order)
    targets = {group: target(group, int(own.tokens.sum())) for group, own in ranks.items()}
    bounds = find_bounds(eligible, order, ranks=ranks, targets=targets, unit="tokens")
    return Pick(order, ranks, order, bounds, seed)


def weights(rows: Rows, *, is_copy: np.ndarray, selected: np.ndarray, weighing: Weighing) -> np.ndarray:
    """How often each row is seen: [n] float32.

    With `upsample` every scored training row counts once, eligible or not, because the full corpus is trained on, and
    a selected one `extra_copies` times more; further copies of a text weigh 0, so that a text's weight doesn't depend
    on how often it was crawled. With `keep` a selected row counts once and no other does. Held-out rows weigh 0.
    """
    if weighing.mix == "keep":
        return selected.astype(np.float32)
    is_seen = rows.is_scored & ~rows.is_heldout & ~is_copy
    return np.where(is_seen, 1 + weighing.extra_copies * selected, 0).astype(np.float32)
