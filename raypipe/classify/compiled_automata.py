"""An epoch of the Tsetlin machine as one compiled loop: the same draws, so the same automata, as in NumPy's steps.

Source: as `automata` and `tsetlin.TsetlinMachine._teach`, which say what is done and by which paper; here it is done
clause by clause, a word of 64 literals after the other. Wants numba: `pip install 'raypipe[fast]'`.
Cost: compiled once a machine, in some seconds; later processes load what `__pycache__` keeps.
"""

from typing import Any

import numpy as np
from numba import njit

_EVERY, _NOTHING, _ONE = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0), np.uint64(1)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def teach_rows(
    planes: Any, real: Any, literals: Any, y: Any, seeds: Any, n: int, T: int, digits: int, precision: int,
    boost: bool, max_literals: int,
) -> int:  # fmt: skip
    """Teach rows of literals [r, w] of classes y [r] to machines of n clauses; how often a clause was chosen to learn.

    `planes` [b, k * n, w] are changed; `digits` of 2**-precision are 1/s; `max_literals` below 0: no budget.
    """
    k, w = planes.shape[1] // n, len(real)
    taught, chance, fired = np.zeros(min(k, 2), np.int64), np.empty(2), np.empty(2 * n, np.bool_)
    first, second = np.empty(2 * n, np.int64), np.empty(2 * n, np.int64)
    up, down = np.empty((2 * n, w), np.uint64), np.empty((2 * n, w), np.uint64)
    drawn = down.reshape(-1)
    updated = 0
    for at in range(len(y)):
        row, seed, taught[0] = literals[at], seeds[at], y[at]
        if k > 1:
            seed += _GAMMA
            taught[1] = (taught[0] + 1 + np.int64(_mixed(seed) % np.uint64(k - 1))) % k
        _judge(planes, row, taught, n, T, fired, chance)
        n_chosen, n_first, n_second = _choose(taught, n, fired, chance, first, second, seed)
        updated += n_chosen
        seed = _draw(drawn, n_first * w, digits, precision, seed + np.uint64(len(taught) * n) * _GAMMA)
        for to in range(n_first):
            _first_steps(row, real, fired[first[to]], boost, up, down, to)
            first[to] += (taught[first[to] // n] - first[to] // n) * n  # from its place among both to that among all
        for to in range(n_first, n_first + n_second):
            number = second[to - n_first]
            first[to] = number + (taught[number // n] - number // n) * n
            for word in range(w):
                up[to, word] = ~row[word] & ~planes[-1, first[to], word] & real[word]
        if max_literals >= 0:
            _keep_to_budget(planes, first[: n_first + n_second], up, max_literals, seed)
        for to in range(n_first + n_second):
            _step(planes, first[to], up, down, to, to < n_first)
    return updated


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _judge(planes: Any, row: Any, taught: Any, n: int, T: int, fired: Any, chance: Any) -> None:
    """Which clauses of the machines taught fire, and with what chance one of each is chosen to learn."""
    for side in range(len(taught)):
        votes = 0
        for one in range(n):
            fires = True
            for word in range(len(row)):
                if planes[-1, taught[side] * n + one, word] & ~row[word]:
                    fires = False
                    break
            fired[side * n + one] = fires
            votes += (1 - 2 * (one % 2)) * fires
        chance[side] = (T - (1 - 2 * side) * min(max(votes, -T), T)) / (2 * T)


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _choose(
    taught: Any, n: int, fired: Any, chance: Any, first: Any, second: Any, seed: Any
) -> tuple[int, int, int]:  # fmt: skip
    """Numbers of clauses that get type I and type II feedback; how many were chosen, and are in each of the two."""
    n_chosen, n_first, n_second = 0, 0, 0
    for side in range(len(taught)):
        for number in range(side * n, (side + 1) * n):
            seed += _GAMMA
            if np.float64(_mixed(seed) >> np.uint64(11)) * 2.0**-53 >= chance[side]:
                continue
            n_chosen += 1
            if (number - side * n) % 2 == side:  # even ones are for their class
                first[n_first] = number
                n_first += 1
            elif fired[number]:
                second[n_second] = number
                n_second += 1
    return n_chosen, n_first, n_second


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _first_steps(row: Any, real: Any, fires: bool, boost: bool, up: Any, down: Any, to: int) -> None:
    """Steps of type I for a clause, into row `to`; `down` comes with what was drawn."""
    for word in range(len(row)):
        drawn, up[to, word] = down[to, word], _NOTHING
        if fires:
            up[to, word] = (row[word] if boost else row[word] & ~drawn) & real[word]
            drawn &= ~row[word]
        down[to, word] = drawn & real[word]


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _draw(words: Any, n: int, digits: int, precision: int, seed: Any) -> Any:
    """As `bits.random_words`, into the first n words of all that is drawn; the seed from which others go on."""
    for at in range(n):
        words[at] = _EVERY if digits >> precision else _NOTHING
    if not digits or digits >> precision:
        return seed
    for place in range(precision):
        if digits >> place & 1:
            for at in range(n):
                words[at] |= _mixed(seed + (np.uint64(at) + _ONE) * _GAMMA)
        else:
            for at in range(n):
                words[at] &= _mixed(seed + (np.uint64(at) + _ONE) * _GAMMA)
        seed += np.uint64(n) * _GAMMA
    return seed


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _mixed(word: Any) -> Any:
    """A word of SplitMix64, as `bits.Draws` mixes it."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _keep_to_budget(planes: Any, clauses: Any, up: Any, max_literals: int, seed: Any) -> None:
    """Take steps back that would include more literals than a clause may have; which of them is chance."""
    n, w = len(clauses), up.shape[1]
    entering, kept, room = np.empty((n, w), np.uint64), np.empty((n, w), np.uint64), np.empty(n, np.int64)
    for to, of in enumerate(clauses):
        room[to] = max_literals
        for word in range(w):
            below = up[to, word] & ~planes[-1, of, word]
            for plane in range(len(planes) - 1):
                below &= planes[plane, of, word]
            entering[to, word] = kept[to, word] = below
            room[to] -= _count(planes[-1, of, word])
    over, half = np.empty(n, np.int64), np.empty(n * w, np.uint64)
    n_over = _over_budget(kept, room, over)
    while n_over:
        seed = _draw(half, n_over * w, 1, 1, seed)
        for number, to in enumerate(over[:n_over]):
            for word in range(w):
                kept[to, word] = kept[to, word] & half[number * w + word] if room[to] > 0 else _NOTHING
        n_over = _over_budget(kept, room, over)
    for to in range(n):
        for word in range(w):
            up[to, word] &= ~(entering[to, word] & ~kept[to, word])


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _over_budget(kept: Any, room: Any, over: Any) -> int:
    """How many rows of words have more ones than there is room for; their numbers go to `over`."""
    n_over = 0
    for to in range(len(kept)):
        n_kept = 0
        for word in kept[to]:
            n_kept += _count(word)
        if n_kept > room[to]:
            over[n_over] = to
            n_over += 1
    return n_over


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _count(word: Any) -> int:
    """Ones of a word."""
    n = 0
    while word:
        word &= word - _ONE
        n += 1
    return n


@njit(cache=True)  # type: ignore[untyped-decorator,unused-ignore]
def _step(planes: Any, of: int, up: Any, down: Any, to: int, goes_down: bool) -> None:
    """Move the states of a clause's automata one up or down by row `to`, those at an end not."""
    b = len(planes)
    for word in range(up.shape[1]):
        every, some = _EVERY, _NOTHING
        for plane in range(b):
            every &= planes[plane, of, word]
            some |= planes[plane, of, word]
        carry = up[to, word] & ~every
        for plane in range(b):
            if not carry:
                break
            planes[plane, of, word] ^= carry
            carry &= ~planes[plane, of, word]
        if not goes_down:
            continue
        borrow = down[to, word] & some
        for plane in range(b):
            if not borrow:
                break
            planes[plane, of, word] ^= borrow
            borrow &= planes[plane, of, word]
