"""The selection and its controls: how each ranks the rows of a group, and which of them it takes.

Every arm chooses among the same eligible rows. A control takes, in each group, as many tokens as the selection has
there, to the nearest document: what differs between two arms is then the choice and not the amount.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raypipe.select.ranking.groups import Eligible, adjust, find_bounds, rank_groups
from raypipe.select.ranking.orders import AtRandom, Drawn, Order, by_score, keys, longest, lowest_loss
from raypipe.select.ranking.ranks import Ranks, Unit
from raypipe.select.rows import Rows
from raypipe.select.selection import Arm, Selection


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


def pick_share(eligible: Eligible, settings: Selection) -> Pick:
    """The selection itself: a share of each group's documents or tokens."""
    order: Order = adjust(eligible) if settings.adjust else by_score
    ranks = rank_groups(eligible, order)
    draw, drawn = order, ranks
    if settings.sampling == "temperature":
        draw = Drawn(ranks, order, settings.temperature, settings.seed)
        drawn = rank_groups(eligible, draw)
    unit = settings.share_of
    targets = {group: share_target(own, settings.share, unit=unit) for group, own in ranks.items()}
    bounds = find_bounds(eligible, draw, ranks=drawn, targets=targets, unit=unit)
    return Pick(order, ranks, draw, bounds, settings.seed)


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


def weights(rows: Rows, *, is_copy: np.ndarray, selected: np.ndarray, settings: Selection) -> np.ndarray:
    """How often each row is seen: [n] float32.

    With `upsample` every scored training row counts once, eligible or not, because the full corpus is trained on, and
    a selected one `extra_copies` times more; further copies of a text weigh 0, so that a text's weight doesn't depend
    on how often it was crawled. With `keep` a selected row counts once and no other does. Held-out rows weigh 0.
    """
    if settings.mix == "keep":
        return selected.astype(np.float32)
    is_seen = rows.is_scored & ~rows.is_heldout & ~is_copy
    return np.where(is_seen, 1 + settings.extra_copies * selected, 0).astype(np.float32)
