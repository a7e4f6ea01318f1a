"""Teams of two-action automata, one team a clause, their states as bit planes: 64 automata step in one operation.

Source: O.-C. Granmo, The Tsetlin machine, arXiv 1804.01508, tables 2 and 3; bit planes and ripple carry as in the
program of G. Berge et al., arXiv 1809.04547.
Cost: a step is some 5 operations a plane on words of 64 automata.
"""

import numpy as np

from raypipe.classify.bits import WORD_BITS, Draws, Words, packed, random_words


class Automata:
    """An automaton for each literal of each clause; in the upper half of its states the literal is included."""

    def __init__(
        self, n_clauses: int, n_literals: int, *, state_bits: int, s: float, max_literals: int | None,
        boost: bool = True,
    ) -> None:  # fmt: skip
        """All begin in the highest state that excludes."""
        self.s, self.max_literals, self.boost = s, max_literals, boost
        n_words = -(-n_literals // WORD_BITS)
        self.real = packed(np.ones((1, n_literals), bool))[0]  # the last word may hold fewer
        self.planes = np.empty((state_bits, n_clauses, n_words), np.uint64)
        self.planes[:-1] = self.real
        self.planes[-1] = 0

    @property
    def include(self) -> Words:
        """Which literals the clauses include: [c, w]; the highest digit of the states."""
        found: Words = self.planes[-1]
        return found

    def feed_back(self, row: Words, first: np.ndarray, fired: np.ndarray, second: np.ndarray, draws: Draws) -> None:
        """Teach a row of literals [w]: type I to the clauses `first`, which `fired` or not, type II to `second`."""
        drawn = random_words(draws, (len(first), len(row)), 1 / self.s)
        up, down = steps(row, fired, drawn, self.include[second], boost=self.boost)
        clauses = np.concatenate([first, second])
        self.step(clauses, up & self.real, down & self.real, draws)

    def step(self, clauses: np.ndarray, up: Words, down: Words, draws: Draws) -> None:
        """Move the states of some clauses one up or down, [c, w] each, the first `len(down)` both ways."""
        planes = self.planes[:, clauses]
        if self.max_literals is not None:
            up = self._within_budget(planes, up, draws)
        carry = up & ~np.bitwise_and.reduce(planes, axis=0)  # the highest state is the last
        for plane in planes:
            plane ^= carry
            carry = carry & ~plane  # where a 1 became 0
        borrow = down & np.bitwise_or.reduce(planes[:, : len(down)], axis=0)
        for plane in planes[:, : len(down)]:
            plane ^= borrow
            borrow = borrow & plane  # where a 0 became 1
        self.planes[:, clauses] = planes

    def _within_budget(self, planes: Words, up: Words, draws: Draws) -> Words:
        """Without the steps that would include more literals than a clause may have; which of them is chance."""
        assert self.max_literals is not None
        entering = up & ~planes[-1] & np.bitwise_and.reduce(planes[:-1], axis=0)
        room = self.max_literals - np.bitwise_count(planes[-1]).sum(axis=1, dtype=np.int64)
        kept = entering.copy()
        while (over := np.flatnonzero(np.bitwise_count(kept).sum(axis=1, dtype=np.int64) > room)).size:
            half = random_words(draws, kept[over].shape, 0.5)
            kept[over] = np.where((room[over] <= 0)[:, None], 0, kept[over] & half)
        found: Words = up & ~(entering & ~kept)
        return found


def steps(
    row: Words, fired: np.ndarray, drawn: Words, included: Words, *, boost: bool = True
) -> tuple[Words, Words]:  # fmt: skip
    """Which automata go up, [f + g, w], and down, [f, w], of f clauses with type I and g with type II feedback.

    Type I: where the clause fired, literals that are 1 go up, without `boost` but for the drawn ones, and of those that
    are 0 the drawn ones down; where it didn't, the drawn ones of all go down. Type II, of clauses that fired: literals
    that are 0 and excluded go up.
    """
    fires = fired[:, None]
    up = np.where(fires, row if boost else row & ~drawn, np.uint64(0))
    down = np.where(fires, drawn & ~row, drawn)
    return np.concatenate([up, ~row & ~included]), down
