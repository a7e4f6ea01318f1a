"""What every kind of question is to the job: something that is asked once, and the values of its items."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from raypipe.evaluate.task_means import task_means

from .model import EvaluatedModel

Json = dict[str, Any]


class Suite(Protocol):
    """A benchmark, read and checked; its items' file has a row for each."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """What its file and its figures are called."""
        ...

    def __len__(self) -> int:
        """Items."""
        ...

    def digest(self) -> str:
        """Of all that is asked, and how."""
        ...

    def ask(self, model: EvaluatedModel) -> pa.Table:
        """A row for each item: name, group and what its values are made of."""
        ...

    def values(self, items: pa.Table) -> dict[str, np.ndarray]:
        """By what is measured, each item's value [n]: whether it is right, or a share."""
        ...

    def about(self) -> Json:
        """What else stands beside the figures, such as the chance level."""
        ...


def figures_of(suite: Suite, items: pa.Table) -> Json:
    """The mean of each value with its 95 % interval over items, by group too where there are several."""
    found: Json = {"kind": suite.kind, "n": len(items), **suite.about(), "accuracy": {}}
    groups, names = items["group"].to_pylist(), [str(at) for at in range(len(items))]
    has_groups = len(set(groups)) > 1
    for label, values in suite.values(items).items():
        if np.isin(values, (0.0, 1.0)).all():  # rights and wrongs, which have an interval where all are alike
            values = values.astype(bool)
        whole = task_means(values[None], task=["all"] * len(items), case=names)
        found["accuracy"][label] = asdict(whole.of_task(0, 0))
        if has_groups:
            by = task_means(values[None], task=groups, case=names)
            for number, group in enumerate(by.tasks):
                found.setdefault("groups", {}).setdefault(group, {})[label] = asdict(by.of_task(0, number))
            found.setdefault("mean_over_groups", {})[label] = asdict(by.mean(0))
    return found


def digest_of(*parts: Any) -> str:
    """Of values that JSON knows, dataclasses among them."""
    return sha256(json.dumps(parts, default=asdict, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def table_of_items(names: Sequence[str], groups: Sequence[str], **columns: Any) -> pa.Table:
    """An items file's table."""
    return pa.table({"name": list(names), "group": list(groups), **columns})
