"""LIMIT as texts: people who like things, questions who likes one, and people beside them whom no question asks for.

Source: O. Weller et al., arXiv 2508.21038, section 5, and the notebook that made the published set (dossier of LIMIT, b
8 to 10): each question has an attribute of its own, which all of its people like; every person is filled up with
attributes that nobody asks for to one and the same number, 45 there; a document is `NAME likes A, B, ... and Z.`
Departures: attributes and names are given, theirs were written by a language model; attributes of a person are in
random order.
Cost: O(n attributes).
"""

import re
from collections.abc import Sequence

import numpy as np

N_ATTRIBUTES = 45
_BETWEEN = re.compile(r", and |, | and ")


def question(attribute: str) -> str:
    """Who likes it."""
    return f"Who likes {attribute}?"


def described(name: str, attributes: Sequence[str]) -> str:
    """The document of a person who likes some things."""
    *first, last = attributes
    return f"{name} likes {', '.join(first)} and {last}." if first else f"{name} likes {last}."


def liked(document: str) -> list[str]:
    """The attributes of such a document; one with an `and` of its own falls apart.

    Raises
    ------
    ValueError
        If it isn't one.
    """
    _, found, attributes = document.rstrip(".").partition(" likes ")
    if not found:
        raise ValueError(f"document must be 'NAME likes A, B and C.', got {document[:80]!r}.")
    return _BETWEEN.split(attributes)


def people(
    pairs: np.ndarray, *, n_documents: int, asked: Sequence[str], unasked: Sequence[str], names: Sequence[str],
    n_attributes: int = N_ATTRIBUTES, seed: int,
) -> list[str]:  # fmt: skip
    """The documents of people 0 to n_documents - 1, of whom those of pairs [q, k] like the q-th attribute asked for.

    Raises
    ------
    ValueError
        If there are too few attributes or names, one is both asked and unasked, or a person has too many.
    """
    if len(asked) < len(pairs) or len(set(names)) < n_documents or set(asked) & set(unasked):
        raise ValueError(
            f"{len(pairs)} questions and {n_documents} people must have an attribute and a name each, none of them "
            f"unasked too, got {len(asked)}, {len(set(names))} and {len(set(asked) & set(unasked))} that are."
        )
    rng = np.random.default_rng(seed)
    own: list[list[str]] = [[] for _ in range(n_documents)]
    for attribute, members in zip(asked, pairs.tolist(), strict=False):
        for person in members:
            own[person].append(attribute)
    most = max(map(len, own), default=0)
    if not most <= n_attributes <= len(unasked):
        raise ValueError(
            f"n_attributes must be between the {most} that a person is asked for and the {len(unasked)} unasked ones, "
            f"got {n_attributes}."
        )
    found = []
    for name, mine in zip(names, own, strict=False):
        filled = [*mine, *(unasked[at] for at in rng.choice(len(unasked), n_attributes - len(mine), replace=False))]
        found.append(described(name, [filled[at] for at in rng.permutation(n_attributes)]))
    return found


def full_names(first: Sequence[str], last: Sequence[str], *, n: int, seed: int) -> list[str]:
    """So many different names of a last one and as many first ones as that takes, at random.

    Raises
    ------
    ValueError
        If there is no last name, or fewer than two first ones.
    """
    if len(set(first)) < 2 or not last:
        raise ValueError(f"two first names and a last one are needed, got {len(set(first))} and {len(last)}.")
    given, total = 1, len(first) * len(last)
    while total < n:
        given, total = given + 1, total * len(first)
    found = []
    for at in np.random.default_rng(seed).choice(total, n, replace=False).tolist():
        parts = [last[at % len(last)]]
        at //= len(last)
        for _ in range(given):
            parts.append(first[at % len(first)])
            at //= len(first)
        found.append(" ".join(reversed(parts)))
    return found
