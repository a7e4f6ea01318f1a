"""Classes of a graph: a vote for the class whose name and neighbours' names in a knowledge graph a text is nearest to.

Source: see `label/graph/class_vectors.py`: the training-free mean of a node and its neighbours.
Departures: it abstains where the softmax of the cosines is below `at_least`.
Cost: O(n k d); before it the names of the classes' neighbours go through the encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from raypipe.label.functions.nearest import nearest_classes


@dataclass(frozen=True)
class Graph:
    """Votes for the class whose vector of the graph is nearest."""

    name: str
    triples: str
    """Parquet or JSON file of rows with `head`, `relation` and `tail`."""
    nodes: Mapping[str, str | None]
    """Class: its node's name."""
    own: float = 0.5
    """The share of the node's own name; 1: nothing else."""
    neighbours: int = 20
    """Of a node, at most."""
    at_least: float = 0.0
    """It abstains where the class has a lower probability."""
    column: str = "embeddings.embedding"
    """STAGE.COLUMN of the texts' vectors."""
    model: str = "mini"
    """What made them; the names go through it too, after its prompt for queries."""

    labels: np.ndarray | None = field(default=None, init=False, repr=False, compare=False)
    """[k, d]: see `placed`."""

    vote = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The vectors."""
        return (self.column,)

    def check(self) -> None:
        """Refuse fewer than two classes, one without a node, and impossible numbers.

        Raises
        ------
        ValueError
            With the setting, the rule and the value.
        """
        called = f"labelling function {self.name!r}"
        if len(self.nodes) < 2 or not all(self.nodes.values()):
            raise ValueError(f"{called}: nodes must map two classes at least to a node each, got {dict(self.nodes)}.")
        if not 0 <= self.own <= 1 or self.neighbours < 1:
            raise ValueError(
                f"{called}: own must be a share from 0 to 1 and neighbours 1 or more, got {self.own} and "
                f"{self.neighbours}."
            )
        if not 0 <= self.at_least < 1:
            raise ValueError(f"{called}: at_least must be a probability from 0 to below 1, got {self.at_least}.")

    def placed(self, labels: np.ndarray) -> Self:
        """Itself with the classes' vectors [k, d], in their order."""
        made = type(self)(
            self.name, self.triples, self.nodes, self.own, self.neighbours, self.at_least, self.column, self.model
        )
        object.__setattr__(made, "labels", np.asarray(labels, np.float64))
        return made

    def says(self, table: pa.Table) -> pa.Array:
        """The nearest class; none for a row without a finite vector."""
        if self.labels is None:
            raise RuntimeError(f"{self.name!r} must be given its classes' vectors (`placed`) before it votes.")
        return nearest_classes(table[self.column], self.labels, tuple(self.nodes), at_least=self.at_least)
