"""Multiple choice by likelihood, and classification by examples in the context: the same with more before it."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from raypipe.evaluate.benchmarks import Item
from raypipe.evaluate.many_shot import Labelled, items_of
from raypipe.evaluate.multiple_choice import WAYS, answers

from .model import EvaluatedModel
from .suite import Json, digest_of, table_of_items


@dataclass(frozen=True)
class Choices:
    """Questions with choices, compared in three ways."""

    name: str
    items: list[Item]
    kind: ClassVar[str] = "choices"

    def __len__(self) -> int:
        return len(self.items)

    def digest(self) -> str:
        """Of the questions."""
        return digest_of(self.items)

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """Log-likelihoods of the choices, and which is the likeliest in each way."""
        found = answers(model.decoder, model.vocabulary, self.items, **model.sizes())
        columns: dict[str, Any] = {way: [one.chosen(way) for one in found] for way in WAYS}
        return table_of_items(
            [item.name for item in self.items], [item.group for item in self.items],
            gold=[item.gold for item in self.items],
            log_likelihood=[one.log_likelihood.tolist() for one in found], **columns,
        )  # fmt: skip

    def values(self, items: pa.Table) -> dict[str, np.ndarray]:
        """Whether the choice of each way is right."""
        gold = items["gold"].to_numpy()
        return {way: items[way].to_numpy() == gold for way in WAYS}

    def about(self) -> Json:
        """The chance level."""
        return {"chance": float(np.mean([1 / len(item.choices) for item in self.items]))}


@dataclass(frozen=True)
class ManyShot:
    """The same rows after growing numbers of examples; a label is compared by its whole likelihood."""

    name: str
    asked: list[Labelled]
    shown: list[Labelled]
    labels: tuple[str, ...]
    shots: tuple[int, ...]
    kind: ClassVar[str] = "many-shot"

    def __len__(self) -> int:
        return len(self.asked)

    def digest(self) -> str:
        """Of rows and examples."""
        return digest_of(self.asked, self.shown, self.labels, self.shots)

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """The likeliest label of each row by number of examples."""
        columns = {}
        for n in self.shots:
            items = items_of(self.asked, self.shown, self.labels, n=n)
            found = answers(model.decoder, model.vocabulary, items, **model.sizes())
            columns[_column(n)] = [self.labels[one.chosen("raw")] for one in found]
        names, groups = [one.name for one in self.asked], ["all"] * len(self.asked)
        return table_of_items(names, groups, gold=[one.label for one in self.asked], **columns)

    def values(self, items: pa.Table) -> dict[str, np.ndarray]:
        """Whether the label is right, by number of examples."""
        gold = np.array(items["gold"].to_pylist(), object)
        return {_column(n): np.array(items[_column(n)].to_pylist(), object) == gold for n in self.shots}

    def about(self) -> Json:
        """The share of the commonest label."""
        _, counts = np.unique([one.label for one in self.asked], return_counts=True)
        return {"chance": float(counts.max() / len(self.asked)), "labels": len(self.labels)}


def _column(n: int) -> str:
    return f"{n} examples"
