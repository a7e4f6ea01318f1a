"""What a task learns from, a row at a time: documents, pairs, bags, vectors, votes.

Every row says where it comes from and how large it is, for losses by domain, for messages and for counting what was
seen; what it is made of is its task's business. Views of a row are made when it is collated.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


class Row(Protocol):
    """What the loop knows of a row."""

    @property
    def domain(self) -> str:
        """By which losses are shown."""
        ...

    @property
    def path(self) -> str:
        """Of the source file."""
        ...

    @property
    def row(self) -> int:
        """Of the source file."""
        ...

    @property
    def size(self) -> int:
        """What the row adds to what was seen: tokens of texts, else 1."""
        ...


@dataclass(frozen=True)
class Document:
    """A document, or a part of one, as token ids."""

    ids: np.ndarray  # [t] int32
    domain: str
    path: str
    """Of the source file."""
    row: int
    """Of the source file."""
    has_loss: np.ndarray | None = None  # [t] bool: tokens that are to be learnt; None: all
    label: float | None = None
    soft_label: np.ndarray | None = None  # [k] shares of the classes, that sum to 1

    @property
    def size(self) -> int:
        """Tokens."""
        return len(self.ids)


@dataclass(frozen=True)
class Pair:
    """A text and one that belongs to it, with texts that don't, as token ids."""

    query: np.ndarray  # [t] int32
    positive: np.ndarray  # [u] int32
    domain: str
    path: str
    row: int
    negatives: tuple[np.ndarray, ...] = ()  # each [v] int32
    scores: tuple[float, ...] = ()
    """How well the positive, then each negative, belongs to the query, as a teacher says; or none."""

    @property
    def size(self) -> int:
        """Tokens of all its texts."""
        return len(self.query) + len(self.positive) + sum(len(negative) for negative in self.negatives)


@dataclass(frozen=True)
class Bag:
    """Instances that share a label; which of them bear it isn't known."""

    X: np.ndarray  # [m, d] float32, at least one instance
    domain: str
    path: str
    row: int
    label: float | None = None

    @property
    def size(self) -> int:
        """Instances."""
        return len(self.X)


@dataclass(frozen=True)
class Vector:
    """A vector, such as an embedding."""

    x: np.ndarray  # [d] float32
    domain: str
    path: str
    row: int
    label: float | None = None
    soft_label: np.ndarray | None = None  # [k] shares of the classes, that sum to 1
    size: int = field(default=1, init=False)
    """1."""


@dataclass(frozen=True)
class Votes:
    """What labelling functions say of a row; -1 abstains."""

    votes: np.ndarray  # [m] int8
    domain: str
    path: str
    row: int
    label: float | None = None
    size: int = field(default=1, init=False)
    """1."""
