"""What every gather keeps to: one result for any cut, a state of arrays; each check catches one made wrong."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from safetensors.numpy import load, save

from raypipe.columns import REASON
from tests.conformance.finding import classes_with, head_of

GATHERS = classes_with("reads", "version", "update", "merge", "state", "from_state", "result")
CUTS = ([], [40], [1, 2, 39], [0, 0, 17, 60])


def column_quantiles() -> Any:
    from raypipe.select.quantiles import ColumnQuantiles

    return ColumnQuantiles(("scores.loss",))


def column_sample() -> Any:
    from raypipe.fitting.sample import ColumnSample

    return ColumnSample(("scores.loss", "scores.influence"), n_rows=20)


def vote_summary() -> Any:
    from raypipe.label.functions.summary import VoteSummary

    return VoteSummary("votes", ("a", "b", "c"), {str(row): row % 2 for row in range(0, 60, 5)})


def cell_sizes() -> Any:
    from raypipe.select.dedup.cells import CellSizes

    return CellSizes("cells")


def pair_recall() -> Any:
    from raypipe.select.dedup.pair_recall import PairRecall

    asked = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
    return PairRecall("embeddings.embedding", "cells", asked, np.eye(2, dtype=np.float32), 0.1, 0.7, "")


def nearest_documents() -> Any:
    from raypipe.label.label_vectors import NearestDocuments

    return NearestDocuments("embeddings.embedding", np.array([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.1]]), 7)


def bag_sample() -> Any:
    from raypipe.fitting.bags import BagSample

    return BagSample("chunk_columns.embedding", n_bags=20, max_vectors=3)


EXAMPLES: dict[str, Callable[[], Any]] = {
    "BagSample": bag_sample,
    "ColumnQuantiles": column_quantiles, "ColumnSample": column_sample, "VoteSummary": vote_summary,
    "CellSizes": cell_sizes, "PairRecall": pair_recall,
    "NearestDocuments": nearest_documents,
}  # fmt: skip
LISTS: dict[str, Callable[[int], list[Any]]] = {
    "votes.votes": lambda row: [row % 3 - 1, row % 2, -1 if row % 4 else 1],
    "cells.keys": lambda row: [row % 2, 1 - row % 2] if row % 3 else [row % 2],
    "embeddings.embedding": lambda row: [row % 5, 1 + row % 7],
    "votes.failed": lambda row: [2] if row % 4 else [],
    "votes.failures": lambda row: [f"no number in {row % 7}"] if row % 4 else [],
}
"""Columns of lists, each by its row."""


def rows(gather: Any, *, n: int = 60) -> pa.Table:
    """Numbers with a null, a NaN and rows that have a reason."""
    rng = np.random.default_rng(0)
    columns = {"id": [str(row) for row in range(n)], "text_hash": list(range(n))}
    for name in gather.reads:
        if name == "chunk_columns.embedding":
            bags = [[[row, at] for at in range(row % 6)] + [None] * (row % 2) for row in range(n)]
            columns[name] = pa.array(bags, pa.large_list(pa.list_(pa.float32())))
            continue
        if name in LISTS:
            kind = pa.string() if name == "votes.failures" else pa.int16()
            columns[name] = pa.array([LISTS[name](row) for row in range(n)], pa.list_(kind))
            continue
        numbers = [None if row == 3 else float("nan") if row == 7 else float(rng.normal()) for row in range(n)]
        columns[name] = pa.array(numbers, pa.float32())
    reasons = pa.array(["empty" if row % 10 == 9 else None for row in range(n)], pa.string())
    return pa.table({**columns, REASON: reasons})


def of(make: Callable[[], Any], table: pa.Table) -> Any:
    made = make()
    made.update(table)
    return made


def begins_empty_and_says_so_in_json(make: Callable[[], Any]) -> None:
    made = make()
    assert type(made.version) is int
    assert all(isinstance(name, str) for name in made.reads)
    empty = json.dumps(made.result())
    assert json.dumps(of(make, rows(made, n=0)).result()) == empty
    assert json.dumps(of(make, rows(made)).result()) != empty


def any_cut_gives_the_same(make: Callable[[], Any]) -> None:
    table = rows(make())
    whole = of(make, table).result()
    for cut in CUTS:
        borders = [0, *cut, len(table)]
        parts = [of(make, table.slice(a, b - a)) for a, b in pairwise(borders)]
        for some in (parts, parts[::-1]):
            made = make()
            for part in some:
                made.merge(part)
            assert made.result() == whole


def leaves_out_rows_with_a_reason(make: Callable[[], Any]) -> None:
    table = rows(make())
    kept = table.filter(pc.is_null(table[REASON]))
    assert of(make, table).result() == of(make, kept).result()


def travels_as_arrays(make: Callable[[], Any]) -> None:
    table = rows(make())
    for made in (make(), of(make, table)):
        again = make().from_state(load(save({name: np.ascontiguousarray(x) for name, x in made.state().items()})))
        assert again.result() == made.result()
        for one in (again, made):
            one.update(table)
        assert again.result() == made.result()


def has_a_docstring_at_the_head_of_its_file(make: Callable[[], Any]) -> None:
    assert head_of(type(make())).strip()


CHECKS = [
    begins_empty_and_says_so_in_json,
    any_cut_gives_the_same,
    leaves_out_rows_with_a_reason,
    travels_as_arrays,
    has_a_docstring_at_the_head_of_its_file,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", GATHERS, ids=lambda kind: kind.__name__)
def test_a_gather(kind: type, check: Callable[[Any], None]) -> None:
    assert kind.__name__ in EXAMPLES, f"give {kind.__name__} an example above: how an empty one is made."
    check(EXAMPLES[kind.__name__])


def test_all_are_found() -> None:
    assert set(EXAMPLES) <= {kind.__name__ for kind in GATHERS}


@dataclass
class Count:
    """Right: rows that came through; the wrong ones below change one thing each."""

    reads: ClassVar[tuple[str, ...]] = ("scores.loss",)
    version: ClassVar[int] = 1
    n: int = field(default=0, init=False)

    def update(self, table: pa.Table) -> None:
        self.n += table[REASON].null_count

    def merge(self, other: "Count") -> None:
        self.n += other.n

    def state(self) -> dict[str, np.ndarray]:
        return {"n": np.array([self.n])}

    def from_state(self, state: dict[str, np.ndarray]) -> "Count":
        made = type(self)()
        made.n = int(state["n"][0])
        return made

    def result(self) -> dict[str, Any]:
        return {"n": self.n}


class CountsAll(Count):
    def update(self, table):
        self.n += len(table)


class KeepsTheLast(Count):
    def merge(self, other):
        self.n = other.n


class Forgets(Count):
    def from_state(self, state):
        return type(self)()


class SaysNothing(Count):
    def result(self):
        return {}


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (SaysNothing, begins_empty_and_says_so_in_json),
        (KeepsTheLast, any_cut_gives_the_same),
        (CountsAll, leaves_out_rows_with_a_reason),
        (Forgets, travels_as_arrays),
    ],
)
def test_a_wrong_one_is_caught(wrong: type, check: Callable[[Any], None]) -> None:
    with pytest.raises(AssertionError):
        check(wrong)
    check(Count)
