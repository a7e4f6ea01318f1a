"""Copies of random tokens and facts among many, of several lengths; made, not read."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from raypipe.evaluate.in_context import Recall, copies, facts, recalled
from raypipe.models.tokenizer import Vocabulary

from .model import EvaluatedModel
from .suite import Json, digest_of, table_of_items

COPIED, LINES = (16, 64, 256), (4, 16, 64)
"""Tokens copied, and lines of which one is asked for."""
PER_LENGTH = 24


@dataclass(frozen=True)
class InContext:
    """Items of each length whose longest fits into the context."""

    items: list[Recall]
    name: ClassVar[str] = "in-context"
    kind: ClassVar[str] = "in-context"

    @classmethod
    def made(cls, vocabulary: Vocabulary, *, max_tokens: int, seed: int, n: int = PER_LENGTH) -> "InContext":
        """`n` of each length.

        Raises
        ------
        ValueError
            If not even the shortest fit.
        """
        every = [copies(vocabulary, n=n, n_tokens=size, seed=seed) for size in COPIED]
        every += [facts(vocabulary, n=n, n_lines=size, seed=seed) for size in LINES]
        fitting = [items for items in every if max(len(item.ids) for item in items) <= max_tokens]
        if not fitting:
            raise ValueError(f"--in-context needs max_tokens of at least {2 * COPIED[0] + 1}, got {max_tokens}.")
        return cls([item for items in fitting for item in items])

    def __len__(self) -> int:
        return len(self.items)

    def digest(self) -> str:
        """Of what is asked."""
        return digest_of([(item.name, item.ids.tolist(), item.is_asked.tolist()) for item in self.items])

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """Share of the asked tokens that the model says."""
        share = recalled(model.decoder, self.items, budget=model.budget, heed=model.heed)
        return table_of_items([item.name for item in self.items], [item.group for item in self.items], share=share)

    def values(self, items: pa.Table) -> dict[str, np.ndarray]:
        """Share of tokens, and whether all of them are right."""
        share = items["share"].to_numpy()
        return {"tokens": share, "whole": share == 1.0}

    def about(self) -> Json:
        """Nothing more."""
        return {}
