"""An Op that gives each text a small vector, and what can be asked of it: made from the words, without a model."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON, TEXT
from raypipe.contracts.op import ROWS

WORDS = ("apples", "pears", "plums")


def vector(text: str) -> list[float]:
    """How often each word is in a text, and the number in it."""
    counts = [float(text.count(word)) for word in WORDS]
    digits = [int(word) for word in text.split() if word.isdigit()]
    return [*counts, float(sum(digits) % 10)]


@dataclass
class Vectors:
    """`vector` of each text."""

    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    version: ClassVar[int] = 1
    unit: ClassVar[str] = ROWS
    padding: int = field(default=0, init=False)
    adds: ClassVar[pa.Schema] = pa.schema([("embedding", pa.list_(pa.float32())), ("number", pa.float64())])

    def prepare(self, table: pa.Table) -> pa.Table:
        return table

    def setup(self, *, n_threads: int) -> None: ...

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        return [np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy())]

    def cost(self, prepared: pa.Table) -> int:
        return len(prepared)

    def limits(self) -> dict[str, int]:
        return {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = [vector(text) for text in batch[TEXT].to_pylist()]
        return pa.table({"embedding": pa.array(rows, pa.list_(pa.float32())), "number": [row[3] for row in rows]})
